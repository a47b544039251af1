import math

import numpy as np
import pytest

from solvers import communications as model


def generator(*key):
    return np.random.Generator(np.random.Philox(key=np.array([*key, 0], np.uint64)[:2]))


def channel(latency=None, *key, **profile):
    return model.Channel(model.Profile(latency or model.Constant(1e-9), **profile), generator(*(key or (1,))))


DISTRIBUTIONS = [
    # latency, variance [s²], a known quantile (probability, value)
    (model.Constant(0.02), 0.0, (0.3, 0.02)),
    (model.Uniform(0.01, 0.03), 0.02**2 / 12, (0.25, 0.015)),
    # Median at 1/2; variance (exp(s²) - 1) exp(2 ln m + s²).
    (model.LogNormal(0.05, 0.4), (math.exp(0.16) - 1) * 0.05**2 * math.exp(0.16), (0.5, 0.05)),
    # Shape 1 is an exponential wait: quantile = minimum - (mean - minimum) ln(1 - p).
    (model.ShiftedGamma(0.01, 0.03, 1.0), 0.02**2, (0.9, 0.01 - 0.02 * math.log(0.1))),
    # Variance of a gamma variable: mean² / shape.
    (model.ShiftedGamma(0.01, 0.03, 2.0), 0.02**2 / 2, (0.5, 0.01 + 0.01 * 1.6783469900166605)),
]


@pytest.mark.parametrize(("latency", "variance", "quantile"), DISTRIBUTIONS)
def test_samples_have_the_closed_form_mean_and_quantiles(latency, variance, quantile):
    count = 40_000
    entry = np.zeros(count, np.int64)
    arrival, arrives = channel(latency).send(entry, np.ones(count))
    drawn = (arrival - entry) * 1e-9
    assert arrives.all()
    assert drawn.mean() == pytest.approx(latency.mean, abs=5 * math.sqrt(variance / count) + 1e-9)
    assert drawn.var() == pytest.approx(variance, rel=0.1, abs=1e-15)
    probability, value = quantile
    assert float(latency.quantile(probability)) == pytest.approx(value, rel=1e-9)
    if variance:
        share = np.mean(drawn <= value)
        assert share == pytest.approx(probability, abs=5 * math.sqrt(probability * (1 - probability) / count))


@pytest.mark.parametrize("latency", [entry[0] for entry in DISTRIBUTIONS])
def test_a_quantile_of_an_array_is_the_array_of_quantiles(latency):
    probability = np.array([[0.1, 0.5], [0.9, 0.999]])
    one_by_one = [[float(latency.quantile(p)) for p in row] for row in probability]
    np.testing.assert_array_equal(latency.quantile(probability), one_by_one)


def test_nothing_arrives_when_it_is_sent():
    arrival, _ = channel(model.Constant(1e-15)).send(np.array([7], np.int64), np.array([1]))
    assert arrival.tolist() == [8]


def test_a_queue_below_capacity_with_even_arrivals_does_not_wait():
    # D/D/1 with service shorter than the interval: every departure is its entry plus the service.
    entry = np.arange(100, dtype=np.int64) * 1_000
    service = np.full(100, 800, np.int64)
    np.testing.assert_array_equal(model.departures(entry, service, 0) - entry, service)


def test_a_queue_above_capacity_with_even_arrivals_grows_by_the_difference():
    # D/D/1 with service longer than the interval: message i waits i (service - interval).
    entry = np.arange(100, dtype=np.int64) * 1_000
    service = np.full(100, 1_300, np.int64)
    wait = model.departures(entry, service, 0) - entry - service
    np.testing.assert_array_equal(wait, np.arange(100) * 300)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_random_arrivals_of_equal_messages_wait_as_pollaczek_and_khinchine_say(load):
    # M/D/1: mean wait = load * service / (2 (1 - load)); Pollaczek 1930, Khinchine 1932, as in
    # L. Kleinrock, Queueing Systems I (1975), eq. 5.63 with no variance of service.
    count, service = 400_000, 1_000_000
    gaps = generator(5).exponential(service / load, count)
    entry = np.cumsum(gaps).astype(np.int64)
    wait = model.departures(entry, np.full(count, service), 0) - entry - service
    assert wait.mean() == pytest.approx(load * service / (2 * (1 - load)), rel=0.03)


def test_serialisation_time_is_bits_over_bandwidth():
    # 125 bytes are 1,000 bit: 1 ms at 1 Mbit/s, on top of the latency of 10 ms.
    arrival, _ = channel(model.Constant(0.01), bandwidth=1e6).send(np.zeros(3, np.int64), np.array([125, 125, 250]))
    assert arrival.tolist() == [11_000_000, 12_000_000, 14_000_000]


def test_batches_do_not_matter():
    entry = np.sort(generator(9).integers(0, 10**9, 500))
    size = generator(10).integers(50, 500, 500)
    profile = {"bandwidth": 1e6, "loss": 0.2, "max_queue": 5e3}
    whole = channel(model.LogNormal(0.1, 1.0), 4, **profile).send(entry, size)
    parts = channel(model.LogNormal(0.1, 1.0), 4, **profile)
    pieces = [parts.send(entry[i:j], size[i:j]) for i, j in [(0, 1), (1, 7), (7, 200), (200, 499), (499, 500)]]
    np.testing.assert_array_equal(np.concatenate([arrival for arrival, _ in pieces]), whole[0])
    np.testing.assert_array_equal(np.concatenate([arrives for _, arrives in pieces]), whole[1])


def test_a_skipped_message_leaves_the_others_their_numbers():
    entry, size = np.arange(50, dtype=np.int64) * 10**9, np.full(50, 100)
    whole, _ = channel(model.LogNormal(0.1, 1.0)).send(entry, size)
    other = channel(model.LogNormal(0.1, 1.0))
    other.skip(20)
    np.testing.assert_array_equal(other.send(entry[20:], size[20:])[0], whole[20:])


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.3, 1.0])
def test_losses_are_binomial(loss):
    count = 50_000
    _, arrives = channel(loss=loss).send(np.zeros(count, np.int64), np.ones(count))
    lost = count - np.count_nonzero(arrives)
    # Five standard deviations of a binomial count.
    assert abs(lost - loss * count) <= 5 * math.sqrt(count * loss * (1 - loss))


def test_a_lost_message_still_takes_its_time_on_the_channel():
    entry, size = np.zeros(200, np.int64), np.full(200, 125)
    sure, _ = channel(bandwidth=1e6).send(entry, size)
    lossy, arrives = channel(bandwidth=1e6, loss=0.5).send(entry, size)
    assert 0 < np.count_nonzero(arrives) < 200
    np.testing.assert_array_equal(lossy[arrives], sure[arrives])


def test_a_full_queue_drops_what_comes():
    # 1,000 B of room for messages of 300 B at 1 byte per ns: three fit at once, the fourth does not.
    link = channel(bandwidth=8e9, max_queue=1_000)
    _, arrives = link.send(np.zeros(5, np.int64), np.full(5, 300))
    assert arrives.tolist() == [True, True, True, False, False]
    assert link.backlog(0) == pytest.approx(900)
    assert link.backlog(400) == pytest.approx(500)
    # 400 ns later 500 B are left: one more fits, a second does not; an empty channel takes anything.
    _, arrives = link.send(np.array([400, 400, 5_000], np.int64), np.full(3, 300))
    assert arrives.tolist() == [True, False, True]
    assert link.backlog(10_000) == 0


def test_a_queue_that_never_fills_is_no_queue_limit():
    entry = np.sort(generator(2).integers(0, 10**9, 300))
    size = generator(3).integers(50, 500, 300)
    limited = channel(bandwidth=1e6, max_queue=1e9).send(entry, size)
    unlimited = channel(bandwidth=1e6).send(entry, size)
    np.testing.assert_array_equal(limited[0], unlimited[0])
    np.testing.assert_array_equal(limited[1], unlimited[1])


def test_a_queue_limit_without_a_bandwidth_limit_drops_nothing():
    _, arrives = channel(max_queue=10).send(np.zeros(100, np.int64), np.full(100, 1_000))
    assert arrives.all()


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: model.Constant(0.0), "above 0 s"),
        (lambda: model.Uniform(0.0, 1.0), "0 < low <= high"),
        (lambda: model.Uniform(2.0, 1.0), "0 < low <= high"),
        (lambda: model.LogNormal(1.0, 0.0), "above 0"),
        (lambda: model.ShiftedGamma(0.02, 0.01, 1.0), "minimum < mean"),
        (lambda: model.Profile(model.Constant(1.0), bandwidth=0.0), "bandwidth"),
        (lambda: model.Profile(model.Constant(1.0), loss=1.5), "from 0 to 1"),
        (lambda: model.Profile(model.Constant(1.0), max_queue=0.0), "queue"),
    ],
)
def test_impossible_profiles_are_refused(build, problem):
    with pytest.raises(model.CommunicationError, match=problem):
        build()


def test_every_shipped_profile_states_its_source_and_the_figures_it_names():
    for profile in model.PROFILES.values():
        assert len(profile.source) > 20
    # What the sources of the rows say, worked out here.
    assert model.PROFILES["fibre"].latency.minimum == pytest.approx(200e3 * 1.468 / 299_792_458, rel=0.03)
    assert model.PROFILES["lte"].loss == 20 / 80_000
    assert model.PROFILES["rf_mesh"].latency.quantile([0.95, 0.99]) == pytest.approx([5.2, 10.2], rel=0.01)
    assert model.PROFILES["rf_mesh"].bandwidth == 50e3 / 4
