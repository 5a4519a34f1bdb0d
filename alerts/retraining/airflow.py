"""Airflow 2 (stable REST API, /api/v1) and 3 (/api/v2): a DAG run whose id is made of the request's: a second one is a 409.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html; `conf` is the request. Airflow 3 wants a token:
its own (/auth/token) for a name and password, or one that is given. The job reports the new version; Airflow knows none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import PollOutcome, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, segment
from alerts.retraining.options import Options, client_of, need_credentials, safe_name, text_of
from alerts.retraining.request import RetrainRequest


@dataclass(frozen=True, slots=True, repr=False)
class AirflowAdapter:
    """login: (name, password) where Airflow 3 changes them for a token first."""

    client: Client
    dag: str
    major: int
    login: tuple[str, str] | None = None

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        headers = self._headers(now_ms)
        if not isinstance(headers, dict):
            return headers
        run = safe_name(request.id, 250)
        body: dict[str, Any] = {"dag_run_id": run, "conf": request.payload()}
        if self.major == 3:
            body["logical_date"] = None  # it must be there; null: the run is of no date, so no other run is in its way
        got = self.client.call("POST", self._runs(), now_ms, body, headers=headers)
        if isinstance(got, Reply) and got.status == 409:
            return self._already(run, headers, now_ms)
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        if dig(got.data, "dag_run_id") != run:
            return self.client.unclear("the run's id")
        return Started(run, self._page(run))

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        headers = self._headers(now_ms)
        if not isinstance(headers, dict):
            return self.client.not_told(headers, run)
        got = self.client.call("GET", f"{self._runs()}/{segment(run)}", now_ms, headers=headers)
        if not isinstance(got, Reply) or not got.ok:
            return self.client.not_told(got, run)
        return self.client.told(dig(got.data, "state"), ("success",), ("failed",))

    def _already(self, run: str, headers: dict[str, str], now_ms: int) -> StartOutcome:
        """409 is also said of another run in the way: only a run that is there has been started."""
        found = self.client.call("GET", f"{self._runs()}/{segment(run)}", now_ms, headers=headers)
        if isinstance(found, Reply) and found.ok and dig(found.data, "dag_run_id") == run:
            return Started(run, self._page(run))
        return Retry(None, f"Airflow answered 409, but has no run {run}")

    def _headers(self, now_ms: int) -> dict[str, str] | Retry | Failed:
        if self.login is None:
            return {}
        name, password = self.login
        got = self.client.call("POST", "/auth/token", now_ms, {"username": name, "password": password})
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        token = dig(got.data, "access_token")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            return self.client.unclear("access_token")
        return {"Authorization": f"Bearer {token}"}

    def _runs(self) -> str:
        return f"/api/v{self.major - 1}/dags/{segment(self.dag)}/dagRuns"

    def _page(self, run: str) -> str:
        dag = f"{self.client.base}/dags/{segment(self.dag)}"
        return f"{dag}/runs/{segment(run)}" if self.major == 3 else f"{dag}/grid?dag_run_id={segment(run)}"


def build(options: Options) -> AirflowAdapter:
    need_credentials(options, "airflow")
    major = options.get("airflow", 3)
    if major not in (2, 3) or isinstance(major, bool):
        raise ValueError(f"adapter airflow: airflow is {major!r}, must be 2 or 3")
    exchange = major == 3 and not options.get("token")
    login = (str(options["username"]), str(options["password"])) if exchange else None
    plain = {k: v for k, v in options.items() if not exchange or k not in ("username", "password")}
    return AirflowAdapter(client_of(plain, "Airflow"), text_of(options, "dag"), major, login)
