"""Distillation losses: hand-worked, against NumPy, gradients, limits, invariances."""

import math
from functools import partial
from itertools import permutations

import numpy as np
import pytest

from edgecompress.backend import tf
from edgecompress.techniques.distill import feature, relation, response

LABELS = np.array([2, 0])
LN2, LN3 = math.log(2), math.log(3)


# --- independent implementations in float64, written with loops over samples ---------------------------------------------


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return powers / powers.sum()


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def coin_kl(p, q):
    return kl([p, 1 - p], [q, 1 - q])


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def oracle_kd(s, t, temperature):
    return temperature**2 * np.mean([kl(softmax(b / temperature), softmax(a / temperature)) for a, b in zip(s, t, strict=True)])


def oracle_sigmoid_kd(s, t, temperature):
    pairs = zip(s.ravel(), t.ravel(), strict=True)
    return temperature**2 * np.mean([coin_kl(sigmoid(b / temperature), sigmoid(a / temperature)) for a, b in pairs])


def labels_for(logits):
    return np.arange(logits.shape[0]) % logits.shape[1]


def oracle_dkd(s, t, temperature, alpha=1.0, beta=8.0):
    values = []
    for a, b, label in zip(s, t, labels_for(s), strict=True):
        p, q = softmax(a / temperature), softmax(b / temperature)
        others = np.arange(len(p)) != label
        rest = kl(q[others] / q[others].sum(), p[others] / p[others].sum())
        values.append(alpha * coin_kl(q[label], p[label]) + beta * rest)
    return temperature**2 * np.mean(values)


def oracle_hard_labels(s, t):
    return np.mean([-math.log(softmax(a)[int(np.argmax(b))]) for a, b in zip(s, t, strict=True)])


def oracle_mse(s, t):
    return np.mean((s - t) ** 2)


def oracle_attention(s, t):
    total = 0.0
    for a, b in zip(s, t, strict=True):
        q, r = ((x**2).mean(axis=-1).ravel() for x in (a, b))
        total += ((q / np.linalg.norm(q) - r / np.linalg.norm(r)) ** 2).sum()
    return total / len(s)


def oracle_flow(first, second):
    return np.stack([np.einsum("pm,pn->mn", *(x.reshape(-1, x.shape[-1]) for x in pair)) / first[0][..., 0].size
                     for pair in zip(first, second, strict=True)])  # fmt: skip


def oracle_gram(s, t):
    return np.mean((oracle_flow(s, s) - oracle_flow(t, t)) ** 2)


def huber(x):
    return x**2 / 2 if abs(x) <= 1 else abs(x) - 0.5


def oracle_rkd_distance(s, t):
    pairs = list(permutations(range(len(s)), 2))
    d, e = ({(i, j): np.linalg.norm(x[i] - x[j]) for i, j in pairs} for x in (s, t))
    return np.mean([huber(d[p] / np.mean(list(d.values())) - e[p] / np.mean(list(e.values()))) for p in pairs])


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


def oracle_rkd_angle(s, t):
    triples = permutations(range(len(s)), 3)
    return np.mean([huber(cosine(s[i] - s[j], s[k] - s[j]) - cosine(t[i] - t[j], t[k] - t[j])) for i, j, k in triples])


def oracle_similarity(s, t):
    grams = [np.array([[a.ravel() @ b.ravel() for b in x] for a in x]) for x in (s, t)]
    rows = [g / np.linalg.norm(g, axis=1, keepdims=True) for g in grams]
    return ((rows[0] - rows[1]) ** 2).sum() / len(s) ** 2


def oracle_correlation(s, t, gamma=0.4):
    def kernel(a, b):
        return math.exp(-2 * gamma) * sum((2 * gamma) ** p / math.factorial(p) * cosine(a, b) ** p for p in range(3))

    return np.mean([(kernel(s[i], s[j]) - kernel(t[i], t[j])) ** 2 for i in range(len(s)) for j in range(len(s))])


def dkd(s, t):
    return response.dkd(s, t, labels_for(s), 2.0, 1.0, 8.0)


RESPONSE = {
    "kd": (partial(response.kd, temperature=2.0), partial(oracle_kd, temperature=2.0)),
    "sigmoid_kd": (partial(response.sigmoid_kd, temperature=3.0), partial(oracle_sigmoid_kd, temperature=3.0)),
    "dkd": (dkd, partial(oracle_dkd, temperature=2.0)),
    "hard_labels": (response.hard_labels, oracle_hard_labels),
    "mse": (response.mse, oracle_mse),
}
FEATURE = {
    "hints": (feature.hints, oracle_mse),
    "attention_transfer": (feature.attention_transfer, oracle_attention),
    "gram": (feature.gram, oracle_gram),
}
RELATION = {
    "rkd_distance": (relation.rkd_distance, oracle_rkd_distance),
    "rkd_angle": (relation.rkd_angle, oracle_rkd_angle),
    "similarity_preserving": (relation.similarity_preserving, oracle_similarity),
    "correlation_congruence": (relation.correlation_congruence, oracle_correlation),
}


def arrays(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


# float32 sums of a few hundred terms of order 1 are right to about 1e-7 each
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.mark.parametrize("name", RESPONSE)
@pytest.mark.parametrize("seed", range(3))
def test_response_loss_equals_numpy(name, seed):
    loss, oracle = RESPONSE[name]
    student, teacher = arrays(seed, (7, 5), (7, 5))
    np.testing.assert_allclose(loss(student, teacher), oracle(student, teacher), **CLOSE)


@pytest.mark.parametrize("name", FEATURE)
@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 4), (3, 4, 5, 6)])
def test_feature_loss_equals_numpy(name, shape):
    if name == "attention_transfer" and len(shape) == 2:
        shape = (4, 6, 1)
    loss, oracle = FEATURE[name]
    student, teacher = arrays(1, shape, shape)
    np.testing.assert_allclose(loss(student, teacher), oracle(student, teacher), **CLOSE)


def test_flow_loss_equals_numpy():
    a, b, c, d = arrays(2, (3, 4, 4, 5), (3, 4, 4, 2), (3, 4, 4, 5), (3, 4, 4, 2))
    np.testing.assert_allclose(feature.fsp((a, b), (c, d)), np.mean((oracle_flow(a, b) - oracle_flow(c, d)) ** 2), **CLOSE)


@pytest.mark.parametrize("name", RELATION)
@pytest.mark.parametrize("seed", range(3))
def test_relation_loss_equals_numpy(name, seed):
    loss, oracle = RELATION[name]
    student, teacher = arrays(seed, (6, 4), (6, 2, 3, 3))
    np.testing.assert_allclose(loss(student, teacher), oracle(student, teacher), **CLOSE)


# Two samples, three classes. Teacher: (1/2, 1/4, 1/4) and (1/4, 1/2, 1/4). Student: all 1/3.
TEACHER = np.log([[2.0, 1, 1], [1, 2, 1]]).astype(np.float32)
STUDENT = np.zeros((2, 3), np.float32)
F2 = np.array([[3.0, 0, 4], [0, 0, 2]], np.float32)  # features of two samples
G2 = np.array([[0.0, 0, 1], [0, 0, 1]], np.float32)
WORKED = {
    # 1/2 ln(3/2) + 2/4 ln(3/4) for both samples
    "kd": (lambda: response.kd(STUDENT, TEACHER, 1.0), 0.5 * math.log(1.5) + 0.5 * math.log(0.75)),
    # coins: p_t = 2/3 where the logit is ln 2, else 1/2; p_s = 1/2. One of three columns differs
    "sigmoid_kd": (lambda: response.sigmoid_kd(STUDENT, TEACHER, 1.0), (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)) / 3),
    # labels 2 and 0: p_t[label] = 1/4 in both, p_s = 1/3; the other two are (2/3, 1/3) against (1/2, 1/2)
    "dkd": (
        lambda: response.dkd(STUDENT, TEACHER, LABELS, 1.0, 1.0, 2.0),
        (0.25 * math.log(0.75) + 0.75 * math.log(1.125)) + 2 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)),
    ),
    "hard_labels": (lambda: response.hard_labels(STUDENT, TEACHER), LN3),
    "mse": (lambda: response.mse(STUDENT, TEACHER), 2 * LN2**2 / 6),
    # differences 3, 0, 3 and 0, 0, 1
    "hints": (lambda: feature.hints(F2, G2), 19 / 6),
    # as three positions of one channel: squares (9, 0, 16) / sqrt(337) and (0, 0, 1) on both sides
    "attention_transfer": (
        lambda: feature.attention_transfer(F2[..., None], G2[..., None]), (2 - 2 * 16 / math.sqrt(337)) / 2
    ),
    # as one position of three channels: products 9, 12, 12, 16 less 1, and 4 less 1
    "gram": (lambda: feature.gram(F2[:, None], G2[:, None]), (81 + 144 + 144 + 15**2 + 3**2) / 18),
    # first (3, 4 | 0, 2), second (0 | 0) against (0, 1 | 0, 1) and (1 | 1): products 0, 0 and 0, 0 against 0, 1 and 0, 1
    "fsp": (
        lambda: feature.fsp((F2[:, None, ::2], F2[:, None, 1:2]), (G2[:, None, ::2], G2[:, None, 2:])), 2 / 4
    ),
    # two samples have one distance, which divided by its mean is 1 on both sides
    "rkd_distance": (lambda: relation.rkd_distance(F2, F2 * 0 + np.eye(2, 3, dtype=np.float32)), 0.0),
    "rkd_angle": (lambda: relation.rkd_angle(F2, G2), 0.0),  # and no triple
    # rows (25, 8) / sqrt(689) and (8, 4) / sqrt(80), against (1, 1) / sqrt(2)
    "similarity_preserving": (
        lambda: relation.similarity_preserving(F2, G2),
        (2 - 2 * 33 / math.sqrt(2 * 689) + 2 - 2 * 12 / math.sqrt(2 * 80)) / 4,
    ),
    # cosine 4/5 against 1, off the diagonal; gamma 1/2: exp(-1) (1 + x + x^2 / 2)
    "correlation_congruence": (
        lambda: relation.correlation_congruence(F2, G2, gamma=0.5), 2 * (math.exp(-1) * (2.5 - 2.12)) ** 2 / 4
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKED)
def test_loss_equals_the_value_worked_by_hand_on_two_samples_of_three(name):
    loss, value = WORKED[name]
    assert float(loss()) == pytest.approx(value, abs=1e-6)


def test_relations_equal_values_worked_by_hand_on_three_samples():
    line, corner = np.array([[0.0], [1], [2]], np.float32), np.array([[0.0, 0], [3, 0], [0, 4]], np.float32)
    # distances 1, 1, 2 over their mean 4/3; and 3, 5, 4 over 4
    assert float(relation.rkd_distance(line, corner)) == pytest.approx((0**2 + 0.5**2 + 0.5**2) / 2 / 3, abs=1e-6)
    # at the three corners the line has cosines 1, -1, 1, the triangle 0, 3/5, 4/5
    assert float(relation.rkd_angle(line, corner)) == pytest.approx((0.5 + (1.6 - 0.5) + 0.02) / 3, abs=1e-6)


@pytest.mark.parametrize(("name", "loss"), [(n, pair[0]) for n, pair in (RESPONSE | FEATURE | RELATION).items()])
def test_gradient_equals_the_numerical_one(name, loss):
    student, teacher = (tf.constant(array, tf.float64) for array in arrays(5, (4, 3, 2), (4, 3, 2)))
    if name in RESPONSE:
        student, teacher = (tf.reshape(array, [4, 6]) for array in (student, teacher))
    worked, numerical = tf.test.compute_gradient(lambda s: loss(s, teacher), [student], delta=1e-5)
    np.testing.assert_allclose(worked[0], numerical[0], atol=1e-8)  # central differences of step 1e-5 in float64


@pytest.mark.parametrize("name", [*RESPONSE, *FEATURE, *RELATION])
def test_equal_student_and_teacher_lose_nothing(name):
    loss = (RESPONSE | FEATURE | RELATION)[name][0]
    (same,) = arrays(3, (5, 4, 3) if name in FEATURE else (5, 4))
    if name == "hard_labels":
        same = np.eye(5, 4, dtype=np.float32) * 100
        same[4, 0] = 100
    assert float(loss(same, same)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", RELATION)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_dead_or_single_samples_leave_no_nan(name, batch):
    student = tf.Variable(tf.zeros((batch, 4)))
    (teacher,) = arrays(1, (batch, 4))
    with tf.GradientTape() as tape:
        value = RELATION[name][0](student, teacher)
    assert np.isfinite(float(value))
    gradient = tape.gradient(value, student)
    assert gradient is None or np.isfinite(gradient).all()


def test_extreme_logits_leave_no_nan():
    student, teacher = tf.constant([[200.0, -200, 0], [0, 0, 0]]), tf.constant([[-200.0, 200, 0], [1, 2, 3]])
    for loss, _ in RESPONSE.values():
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(student, teacher)
        assert np.isfinite(float(value))
        assert np.isfinite(tape.gradient(value, student)).all()
