"""Commands that start from a recipe, or help to write one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecompress.cli.failures import report_failure
from edgecompress.cli.options import (
    AllowCode,
    AllowEnv,
    AsJson,
    Quiet,
    RecipeFile,
    Settings,
    SshConfig,
    bars,
    checked_recipe,
    enter_cluster,
)
from edgecompress.cli.output import check_place, show, show_json
from edgecompress.errors import EdgeCompressError
from edgecompress.quiet import without_noise
from edgecompress.workers.cluster import WORKER_LIMIT_S


def run(
    recipe: RecipeFile,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; absent: runs/NAME.", show_default=False)] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the stages of earlier calls.")] = False,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    ssh_config: SshConfig = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT,...", help="Machines that share trainings of strategy multi_worker, the chief first; or TF_CONFIG."
        ),
    ] = None,
    worker: Annotated[int | None, typer.Option(min=0, metavar="N", help="Which of --workers this machine is; 0: the chief.")] = None,
    worker_timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Longest wait for another worker.")] = WORKER_LIMIT_S,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Runs a recipe: train, compress, convert, evaluate, benchmark, report. Continues a run that died.

    Exit code 3: a goal was missed; 4: a device failed; everything else ran.
    """
    checked = checked_recipe(recipe, settings, allow_env)
    enter_cluster(workers, worker)
    from edgecompress.cli.outcome import raise_for_outcome
    from edgecompress.runs import run_recipe
    from edgecompress.workers.joining import cluster_for, follow_chief

    progress = bars(quiet=quiet)
    cluster = cluster_for(checked)
    if cluster is not None and not cluster.is_chief:
        number = follow_chief(checked, allow_code=allow_code, progress=progress, worker_limit_s=worker_timeout)
        show_json({"trainings": number}) if as_json else show(f"The chief has ended its run; {number} trainings were shared.")
        return
    from edgecompress.report import summary_table

    finished = run_recipe(
        checked, out=out, fresh=fresh, allow_code=allow_code, ssh_config=ssh_config, progress=progress, worker_limit_s=worker_timeout
    )
    if as_json:
        show_json(finished.report.model_dump(mode="json"))
    else:
        show(summary_table(finished.report), f"Report: {finished.folder / 'report.html'}")
    raise_for_outcome(finished.report)


def check(
    context: typer.Context,
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="YAML files, or builtin:NAME.yaml")],
    settings: Settings = None,
    allow_env: AllowEnv = None,
    as_json: AsJson = False,
) -> None:
    """Validates recipes and lists their stages, in a moment: without TensorFlow, data or model."""
    from edgecompress.cli.tables import recipe_table

    codes = [0]
    found: list[dict[str, Any]] = []
    for path in recipes:
        try:
            checked = checked_recipe(path, settings, allow_env)
            if checked.target.latency_table is not None:
                from edgecompress.latency.forecast import forecast_of

                forecast_of(checked.target)
        except EdgeCompressError as error:
            codes.append(report_failure(error, debug=bool(context.obj)))
            found.append({"path": path, "error": str(error)})
        else:
            found.append({"path": path, "recipe": checked.model_dump(mode="json")})
            if not as_json:
                show(recipe_table(path, checked))
    if as_json:
        show_json({"recipes": found})
    raise typer.Exit(max(codes))


def plan(
    recipe: RecipeFile,
    settings: Settings = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    as_json: AsJson = False,
) -> None:
    """Says what each stage will do to each layer, and why not, in seconds: nothing is trained."""
    checked = checked_recipe(recipe, settings, allow_env)
    with without_noise():
        from edgecompress.plan import plan as make_plan
        from edgecompress.plan import plan_table

        planned = make_plan(checked, allow_code=allow_code)
    show_json(planned.to_dict()) if as_json else show(plan_table(planned))


def sensitivity(
    recipe: RecipeFile,
    settings: Settings = None,
    of: Annotated[
        Literal["channels", "bits"], typer.Option(help="What is taken away: channels, or bits of each layer's weights.")
    ] = "channels",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; absent: runs/NAME.", show_default=False)] = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measures how much each part matters: the validation metric of the baseline with that group of channels alone cut, or layer rounded.

    Nothing but the baseline is trained. A killed call goes on where it was.
    """
    checked = checked_recipe(recipe, settings, allow_env)
    from edgecompress.baseline_study import SENSITIVITY_PAGES, measure_sensitivity
    from edgecompress.report.table import sensitivity_table

    folder = out or Path("runs") / checked.name
    found = measure_sensitivity(checked, of=of, out=folder, allow_code=allow_code, progress=bars(quiet=quiet))
    if as_json:
        show_json(found.to_dict())
    else:
        show(sensitivity_table(found.to_dict()), f"Drawn: {folder / SENSITIVITY_PAGES[of]}")


def calibration(
    recipe: RecipeFile,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; absent: runs/NAME.", show_default=False)] = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Checks the samples that fix the ranges of int8: what is wrong with them, and how many are enough. Only the baseline is trained."""
    checked = checked_recipe(recipe, settings, allow_env)
    from edgecompress.baseline_study import check_calibration
    from edgecompress.report.table import calibration_table

    folder = out or Path("runs") / checked.name
    found = check_calibration(checked, out=folder, allow_code=allow_code, progress=bars(quiet=quiet))
    if as_json:
        show_json(found.to_dict())
    else:
        show(calibration_table(found.to_dict()), f"Drawn: {folder / 'calibration.html'}")


def techniques(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One technique, in full.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Lists every technique; with NAME its fields, ranges, defaults, source and an example."""
    from edgecompress.cli.tables import technique_view, techniques_table
    from edgecompress.recipe.describe import describe_technique, describe_techniques

    if as_json:
        described = describe_techniques() if name is None else [describe_technique(name)]
        show_json({"techniques": [asdict(technique) for technique in described]})
    else:
        show(technique_view(name) if name is not None else techniques_table())


def schema() -> None:
    """Prints the JSON Schema of a recipe, for editors that complete and check."""
    from edgecompress.recipe.json_schema import recipe_json_schema

    show_json(recipe_json_schema())


def init(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=".keras or .h5 file, or SavedModel folder")],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help=".npz, .csv or .py file, or folder with one folder per class", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The recipe to write.")] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes a commented starter recipe for a model of your own."""
    from edgecompress.recipe.starter import write_starter_recipe

    check_place(output, model, data)
    write_starter_recipe(model, data, output, force=force)
    show_json({"path": str(output)}) if as_json else show(f"{output}: written. Next: edgecompress check {output}")
