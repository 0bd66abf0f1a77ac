import numpy as np
import pytest
from sklearn.datasets import load_digits as bundled_digits

from neurodeploy.errors import InputError
from neurodeploy.network.samples import load_samples
from neurodeploy.training import load_digits, load_digits_fold


def rows(samples):
    return {row.tobytes() for row in samples.images}


def test_splits_hold_every_image_once():
    splits = load_digits(3)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [1077, 360, 360]
    together = rows(splits.train) | rows(splits.validation) | rows(splits.test)
    assert len(together) == 1797


def test_splits_are_stratified():
    share = np.bincount(bundled_digits().target) / 1797
    splits = load_digits(1)
    for part in (splits.train, splits.validation, splits.test):
        counts = np.bincount(part.labels)
        assert np.abs(counts - share * len(part)).max() < 2


def test_values_are_codes_of_the_pixels():
    splits = load_digits(0)
    pixels, labels = bundled_digits().data, bundled_digits().target
    by_code = {
        np.rint(image / 16 * 255).astype(np.int64).tobytes(): label
        for image, label in zip(pixels, labels, strict=True)
    }
    codes = splits.test.codes(splits.encoder, 64)
    assert codes.max() == 255
    assert np.array_equal(splits.test.images, codes / 255)
    found = [by_code[code.astype(np.int64).tobytes()] for code in codes]
    assert found == splits.test.labels.tolist()


def test_a_seed_means_one_split():
    a, b, other = load_digits(5), load_digits(5), load_digits(6)
    assert np.array_equal(a.test.images, b.test.images)
    assert np.array_equal(a.train.labels, b.train.labels)
    assert rows(a.test) != rows(other.test)


def test_splits_are_saved(tmp_path):
    splits = load_digits(0)
    paths = splits.save(tmp_path)
    again = load_samples(paths["validation"])
    assert np.array_equal(again.images, splits.validation.images)
    assert np.array_equal(again.labels, splits.validation.labels)


def test_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed -1"):
        load_digits(-1)


def test_folds_hold_every_image_once_and_share_no_sample():
    held = []
    for fold in range(5):
        splits, index = load_digits_fold(fold)
        assert np.array_equal(splits.test.labels, bundled_digits().target[index])
        assert abs(len(splits.test) - 1797 / 5) < 1
        counts = np.bincount(splits.test.labels)
        assert counts.max() - counts.min() <= 3
        seen = {image.tobytes() for image in splits.test.images}
        for other in (splits.train, splits.validation):
            assert not seen & {image.tobytes() for image in other.images}
        assert len(splits.train) + len(splits.validation) + len(splits.test) == 1797
        held.append(index)
    assert np.array_equal(np.sort(np.concatenate(held)), np.arange(1797))


def test_folds_depend_on_their_seed_alone():
    a, b, other = load_digits_fold(2), load_digits_fold(2), load_digits_fold(2, seed=1)
    assert np.array_equal(a[1], b[1])
    assert np.array_equal(a[0].train.images, b[0].train.images)
    assert not np.array_equal(a[1], other[1])


@pytest.mark.parametrize(("fold", "folds"), [(5, 5), (-1, 5), (0, 1), (0, 400)])
def test_no_such_fold(fold, folds):
    with pytest.raises(InputError, match="2 to 174 folds"):
        load_digits_fold(fold, folds)
