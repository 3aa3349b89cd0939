"""Models can be trained, saved, loaded, and trained again to the same numbers."""

import os

import joblib
import lightgbm as lgb
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info


@pytest.fixture(scope="module")
def cancer():
    return train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


def test_a_pipeline_learns():
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(model, x, y, cv=3).mean() > 0.9


def boosted(cancer, **options):
    x, _, y, _ = cancer
    return lgb.LGBMClassifier(n_estimators=40, random_state=0, verbose=-1, **options).fit(x, y)


def test_boosted_trees_learn(cancer):
    _, x, _, y = cancer
    assert roc_auc_score(y, boosted(cancer).predict_proba(x)[:, 1]) > 0.97


def test_training_can_be_repeated(cancer):
    options = {"n_jobs": 1, "deterministic": True, "force_row_wise": True}
    first, second = (boosted(cancer, **options).predict_proba(cancer[1]) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_model_survives_saving(cancer, tmp_path):
    model = boosted(cancer)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(loaded.predict(cancer[1]), model.predict(cancer[1]))


def test_work_is_shared_among_processes():
    # Needs semaphores in /dev/shm, which a hardened container may lack.
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(pow)(n, 2) for n in range(8)) == [n * n for n in range(8)]


def test_linear_algebra_does_not_take_more_threads_than_there_are_cores():
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert pools and all(pool["num_threads"] <= os.cpu_count() for pool in pools)
