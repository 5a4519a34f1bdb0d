"""Jenkins: buildWithParameters; a waiting or built item whose parameter holds the request's id is looked for first.

https://www.jenkins.io/doc/book/using/remote-access-api/; with an API token no crumb is needed. The job must declare the
parameters (Jenkins drops those that it does not know), RETRAIN_ID among them. A run is known by its number in the queue: builds
keep it, while the queue forgets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from alerts.channels.base import Failed, Retry
from alerts.retraining.adapter import Finished, PollOutcome, Running, Started, StartOutcome
from alerts.retraining.client import Client, Reply, dig, items, name_of, segment
from alerts.retraining.options import Options, client_of, mapped, mapping_of, text_of
from alerts.retraining.request import RetrainRequest

ID_PARAMETER = "RETRAIN_ID"  # always sent: builds are told apart by it
BUILDS = "builds[number,url,building,result,queueId,actions[parameters[name,value]]]{0,100}"
QUEUE = "items[id,task[url],actions[parameters[name,value]]]"
BAD = ("FAILURE", "UNSTABLE", "ABORTED", "NOT_BUILT")


@dataclass(frozen=True, slots=True, repr=False)
class JenkinsAdapter:
    """job: its name with the folders before it, as in team/retrain. parameters: parameter -> field of the request."""

    client: Client
    job: str
    parameters: dict[str, str]

    def start(self, request: RetrainRequest, now_ms: int) -> StartOutcome:
        for path, tree, name, number in (("/queue", QUEUE, "items", "id"), (self._path(), BUILDS, "builds", "queueId")):
            got = self._listed(path, tree, name, now_ms)
            if not isinstance(got, Reply):
                return got
            found = next((i for i in items(got.data, name) if _id_of(i) == request.id), None)
            if found is not None and name_of(dig(found, number)):
                return Started(name_of(dig(found, number)), self._page())
        form = {ID_PARAMETER: request.id, **mapped(self.parameters, request)}
        posted = self.client.call("POST", f"{self._path()}/buildWithParameters", now_ms, form=form)
        if not isinstance(posted, Reply):
            return posted
        if not posted.ok:
            return self.client.refused(posted)
        place = re.search(r"/queue/item/(\d+)/?$", posted.headers.get("location", ""))
        return Started(place[1], self._page()) if place else self.client.unclear("the place in the queue")

    def poll(self, run: str, now_ms: int) -> PollOutcome:
        got = self._listed(self._path(), BUILDS, "builds", now_ms)
        if not isinstance(got, Reply):
            return self.client.not_told(got, run)
        build = next((b for b in items(got.data, "builds") if name_of(dig(b, "queueId")) == run), None)
        if build is not None:
            result = dig(build, "result")
            return Running() if dig(build, "building") or result is None else self.client.told(result, ("SUCCESS",), BAD)
        item = self.client.call("GET", f"/queue/item/{segment(run)}/api/json", now_ms)
        if isinstance(item, Reply) and item.status == 404:
            return self.client.gone(run)  # the job was listed just now: it is Jenkins that says so
        if not isinstance(item, Reply) or not item.ok:
            return self.client.not_told(item, run)
        if dig(item.data, "cancelled") is True:
            return Finished(False, "cancelled in the queue")
        return Running() if isinstance(item.data, dict) and "id" in item.data else self.client.unclear("the queue's item")

    def _listed(self, path: str, tree: str, name: str, now_ms: int) -> Reply | Retry | Failed:
        got = self.client.call("GET", f"{path}/api/json", now_ms, query={"tree": tree})
        if not isinstance(got, Reply):
            return got
        if not got.ok:
            return self.client.refused(got)
        return got if isinstance(dig(got.data, name), list) else self.client.unclear(name)

    def _path(self) -> str:
        return "".join(f"/job/{segment(part)}" for part in self.job.split("/") if part)

    def _page(self) -> str:
        return f"{self.client.base}{self._path()}/"


def _id_of(item: Any) -> str:
    parameters = (p for action in items(item, "actions") for p in items(action, "parameters"))
    return next((name_of(dig(p, "value")) for p in parameters if dig(p, "name") == ID_PARAMETER), "")


def build(options: Options) -> JenkinsAdapter:
    basic = {**options, "password": options["token"], "token": None}
    mapping = mapping_of(options, {"RETRAIN_REQUEST": "request"}, r"[A-Za-z_][A-Za-z0-9_.-]*")
    return JenkinsAdapter(client_of(basic, "Jenkins"), text_of(options, "job"), mapping)
