"""`factorize` with `rank: sensitivity`: ranks by the validation metric, measured with each layer alone."""

from dataclasses import replace

from edgecompress.recipe.stages import Factorize
from edgecompress.stage import Outlook
from edgecompress.techniques import factorize


def measured(**settings):
    return Factorize(timed_as=None, rank="sensitivity", **settings)


def records(result):
    return {record.name: record for record in result.layers}


def test_measured_ranks_lose_no_more_than_they_may_and_are_measured_once(trained, make_context):
    context = make_context()
    evaluated = []

    def evaluate(model):
        evaluated.append(model)
        return context.evaluate(model)

    config = measured(metric_drop=0.03, layers=["conv2", "dense"])
    results = [factorize.apply(trained, config, replace(context, evaluate=evaluate)) for _ in range(2)]
    curves = {curve.name: curve for curve in results[0].sensitivity.curves}
    assert set(curves) == {"conv2", "dense"}
    assert len(evaluated) == 1 + sum(len(curve.levels) for curve in curves.values())  # the second time they are read
    lost = 0.0
    for name, curve in curves.items():
        record = records(results[0])[name]
        at = [1 - record.after["parameters"] / record.before["parameters"] - level for level in curve.levels]
        assert record.action == "changed"
        level = min((distance, index) for index, distance in enumerate(at) if distance >= 0)[1]  # the largest rank within this level
        lost += results[0].sensitivity.losses(curve)[level]
    assert lost <= 0.03
    assert records(results[1])["conv2"].after == records(results[0])["conv2"].after


def test_measured_ranks_meet_a_limit_of_macs_also_by_cp_which_has_no_spectrum(trained, make_context):
    from edgecompress.graph.layers import describe_layers, total

    result = factorize.apply(trained, measured(method="cp", macs=0.5), make_context())
    assert total(describe_layers(result.model)).macs <= 0.5 * total(describe_layers(trained)).macs
    assert records(result)["conv2"].action == "changed"


def test_layers_that_lose_too_much_at_every_measured_rank_stay(trained, make_context):
    context = make_context()

    def evaluate(model):  # whatever is changed costs half of the accuracy
        return {"accuracy": 0.9 if len(model.layers) == len(trained.layers) else 0.4}

    result = factorize.apply(trained, measured(metric_drop=0.1), replace(context, evaluate=evaluate))
    assert {record.action for record in result.layers} == {"skipped"}
    assert records(result)["dense"].reason == "every rank that was measured loses more of the metric than is left to lose"
    assert records(result)["logits"].reason == "every rank that was measured loses more of the metric than is left to lose"
    assert result.sensitivity is not None


def test_plan_of_measured_ranks_says_that_they_come_later(trained, make_context):
    context = make_context()
    planned, foreseen = factorize.plan(trained, measured(), Outlook(context.data, context.task, trained, allow_code=False))
    assert [layer.name for layer in planned.layers] == [layer.name for layer in trained.layers]
    assert {record.reason for record in foreseen if record.name == "dense"} == {
        "its rank is chosen by the validation metric, which is measured when the recipe runs"
    }
