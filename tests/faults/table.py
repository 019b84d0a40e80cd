"""The faults: what goes wrong, what the autoscaler does then, and where that is tried.

docs/operations.md shows them to operators (`python -m tests.docs.reference` writes them there). Tests name their fault
by `@pytest.mark.fault("id")`; tests/docs/test_faults.py holds that every fault is tried where it says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault and what is expected of the autoscaler: sentences in Markdown and an operator's words.

    *real* and *fake* say on what it was tried, and which part of the fault if it is not all: on a real Docker engine
    in swarm mode with a real Prometheus and cAdvisor, and on servers and a simulated Swarm that misbehave on purpose.
    None if it was not.
    """

    id: str
    """The anchor in docs/operations.md."""
    fault: str
    """The heading: what has gone wrong."""
    does: str
    """What the autoscaler does."""
    see: str = ""
    """What an operator sees of it; nothing if it is empty."""
    cure: str = ""
    """What an operator can do; nothing is needed if it is empty."""
    real: str | None = None
    fake: str | None = None

    @property
    def tried(self) -> str:
        """On what it was tried, in words."""
        places = {"real": self.real, "fake": self.fake}
        return ", ".join(f"{name} ({part})" if part else name for name, part in places.items() if part is not None)


DATA = (
    Fault(
        id="prometheus-away",
        fault="Prometheus refuses, times out, or answers 5xx, HTML or half an answer",
        does="It holds every decision that needs data. It goes on to keep bounds and fallbacks. It tries again with "
        "backoff, and refills its windows by itself.",
        see="`prometheus_lost`, `prometheus_recovered`; reasons `no_data`, `stale_data`.",
        cure="Look at Prometheus. The message says where, and what is wrong.",
        real="stopped, hanging",
        fake="all",
    ),
    Fault(
        id="query-fails",
        fault="One query is wrong or too slow, or is answered with a warning",
        does="The other metrics go on. The failing query is asked last. (A warning comes, for example, if a store of "
        "Thanos is away.)",
        see="`query_failed` with the metric's name.",
        cure="Run `autoscaler check --live`.",
        real="",
        fake="",
    ),
    Fault(
        id="samples-missing",
        fault="Samples are missing, NaN, infinite or late",
        does="Missing samples count neither as 0 nor as low load. One missing sample is forgiven, "
        "two in a row are not.",
        see="Reasons `window_incomplete`, `stale_data`.",
        cure="Check the scrape. `check --live` shows the age of each sample.",
        real="",
        fake="",
    ),
    Fault(
        id="data-missing",
        fault="A service, or every service, has no data: a wrong selector, missing labels, timestamps of the target",
        does="It finds the first broken link between the metric and the service, and removes nothing. A lack that "
        "lasts is a problem: of one service after 10 minutes, of all services two intervals beyond warm-up and window.",
        see="`data_lack_found` when it begins; `data_missed`, `data_found`, and `data_lack_changed` for another cause. "
        '`autoscaler_problems{kind="no_data"}`. `/-/ready` answers 503 if no service has data.',
        cure="The message says which setting to correct. `autoscaler check --live` asks again at once.",
        real="selector, labels, timestamps",
        fake="all",
    ),
    Fault(
        id="counter-reset",
        fault="Somebody restarts a task's container (`docker restart`), so that its CPU counter begins at 0 again",
        does="Its sample is missing until the rate window is past the step. A CPU below 0 is a missing sample. The "
        "container goes on beside the task that replaces it.",
        see="Reason `partial_data`, later with the container's name.",
        cure="Run `docker rm -f` for that container on its node.",
        real="",
        fake="",
    ),
    Fault(
        id="tasks-silent",
        fault="Some tasks do not report",
        does="It removes nothing. An `above` rule still fires if the average is above the bound with the missing tasks "
        "counted as 0.",
        see="Reason `partial_data`.",
        cure="`check --live` shows how many tasks report.",
        real="",
        fake="",
    ),
    Fault(
        id="others-report",
        fault="Tasks report that do not run",
        does="It removes nothing, because those tasks may lower the average. They drain, fail their health check, or "
        "belong to another Swarm with a service of the same name.",
        see="Reason `partial_data`, with how many report and how many run.",
        cure="Look at the health check. If Prometheus sees several Swarms, set `AUTOSCALER_METRIC_SELECTOR`.",
        real="",
        fake="",
    ),
    Fault(
        id="limit-raised",
        fault="A deploy raises the CPU or memory limit",
        does="It removes nothing before a whole window was measured under the new limit. Older samples were capped by "
        "the old one.",
        see="Reason `window_incomplete`, with the time of the raise.",
        fake="",
    ),
    Fault(
        id="node-starved",
        fault="A node has no CPU to spare, so services on it read as idle",
        does="No rule removes replicas there by `cpu`, unless the policy says `on_starved: allow`. All else goes on.",
        see="Reason `starved` with the node and its cores; after ten minutes `node_starved`.",
        cure="Reserve CPU (`deploy.resources.reservations.cpus`), or add room.",
        real="",
        fake="",
    ),
    Fault(
        id="scrape-interval",
        fault="Prometheus scrapes at another interval than the settings say",
        does="It goes on. If the samples are too rare for the windows, it removes nothing.",
        see="`scrape_interval_differed`, with the right setting; `data_missed` if nothing can scale by `cpu` at that "
        "interval.",
        cure="Set `AUTOSCALER_SCRAPE_INTERVAL`.",
        real="",
    ),
    Fault(
        id="store-empty",
        fault="Prometheus starts with an empty store",
        does="It keeps the samples that it holds. It removes nothing before the windows are complete again, also after "
        "a restart of its own.",
        see="Reason `window_incomplete`.",
        real="with a restart of the autoscaler",
    ),
    Fault(
        id="clock-skew",
        fault="Clocks differ",
        does="Windows follow Prometheus' own clock, whatever the `Date` of a proxy says. If that clock is set back, "
        "its samples are not used until it has caught up.",
        see="`clock_skew_found`; `prometheus_lost`, with how far the clock was set back.",
        cure="Use NTP.",
        real="shifted by a proxy",
        fake="",
    ),
    Fault(
        id="ineffective",
        fault="More replicas do not help",
        does="It stops adding after `ineffective_after` increases.",
        see="Reason `ineffective`.",
        cure="Look for the leak, the lock, or the full database.",
        real="",
        fake="",
    ),
)
SWARM = (
    Fault(
        id="swarm-away",
        fault="Docker is gone, hangs, or refuses access, or the node is not a manager any more",
        does="It scales nothing and keeps evaluating.",
        see="`swarm_lost`, `swarm_recovered`. `/-/healthy` stays 200.",
        cure="The message says which of these it is.",
        real="stopped, demoted",
        fake="all",
    ),
    Fault(
        id="engine-upgraded",
        fault="The engine is upgraded while the autoscaler runs",
        does="It speaks the new API version from its next read on, so no field of a spec is lost.",
        see="Nothing, or `swarm_lost` and `swarm_recovered`.",
        real="20.10 to 28",
        fake="",
    ),
    Fault(
        id="write-unanswered",
        fault="A write gets no answer",
        does="It reads the service back first, because the write may still be applied.",
        see="Outcome `unknown`.",
        cure="Nothing: the next evaluation sees what became of it.",
        real="applied after 40 s, as the quorum came back; never, by a leader in a partition",
        fake="",
    ),
    Fault(
        id="write-conflict",
        fault="Somebody else changes the service at the same time",
        does="The version index refuses the write. It reads and decides again, at most three times.",
        see="Outcome `conflict`.",
        real="",
        fake="",
    ),
    Fault(
        id="service-removed",
        fault="A service is removed, or created again under its name, during an evaluation",
        does="It raises nothing. It removes nothing on samples of the earlier service.",
        see="Reasons `service_not_found`, `window_incomplete`.",
        real="removed",
        fake="",
    ),
    Fault(
        id="no-room",
        fault="Replicas find no room, fail, or start slowly",
        does="It adds no more. With `give_back`, it removes the added replicas that have found no room for that long. "
        "It then adds none for the same time.",
        see="Reason `tasks_pending`, with Swarm's own words; `autoscaler_unplaced_replicas`; reason `no_room`.",
        cure="Make room (`autoscaler plan` adds up what is missing), or find out why the replicas fail.",
        real="",
        fake="",
    ),
    Fault(
        id="forgotten",
        fault="Replicas wait although there is room",
        does="If a count changes while replicas wait for a node, Swarm never tries those again. It makes no such "
        "change itself, except for bounds, schedules and reductions. With `give_back`, it removes the replicas it "
        "had added. Swarm tries those that are added later.",
        see="Reason `tasks_pending` although there is room. `autoscaler plan` warns.",
        cure="Scale down by the waiting replicas, and up again.",
        real="",
        fake="",
    ),
    Fault(
        id="node-lost",
        fault="A node is lost with its tasks",
        does="Its tasks no longer count as running. It removes nothing before the remaining tasks have complete "
        "windows. A `target` counts missing tasks as being at the target.",
        see="Reasons `tasks_pending`, `partial_data`.",
        cure="Nothing: Swarm starts the tasks on other nodes.",
        real="killed",
        fake="",
    ),
    Fault(
        id="swarm-leader-lost",
        fault="The manager that leads the Swarm is lost",
        does="It scales nothing during the election. Until the new Swarm leader has heard of all nodes, their tasks do "
        "not count as running, and nothing is removed because of that.",
        see="`swarm_lost`, `swarm_recovered`; reason `tasks_pending` for a moment.",
        real="in a partition",
        fake="",
    ),
    Fault(
        id="quorum-lost",
        fault="Half of the managers or more are lost",
        does="It scales nothing. A change that was on its way may be applied when the managers are back. No second one "
        "follows it.",
        see="`swarm_lost`, after 10 to 20 s `swarm_loss_explained`; `lease_lost`; outcome `unknown`.",
        cure="Bring managers back until more than half are online.",
        real="",
        fake="",
    ),
    Fault(
        id="unscalable",
        fault="A service is global or a job",
        does="It leaves the service alone, because any write would run a job again.",
        see="Reason `unsupported_mode`.",
        cure="Take the service out of the policy.",
        real="",
        fake="",
    ),
)
DEPLOYS = (
    Fault(
        id="rollout",
        fault="A rolling update or rollback runs, is paused, or was just deployed",
        does="It writes nothing until the rollout is over.",
        see="Reason `rollout_in_progress`.",
        cure="Nothing, unless the rollout is paused: resume it, or deploy a change.",
        real="",
        fake="",
    ),
    Fault(
        id="deploy-repeated",
        fault="The same deploy is made again in the middle of its rollout",
        does="Swarm goes on with the rollout, shows nothing about it, and rolls nothing back. The autoscaler sees "
        "tasks of another version, and writes nothing while there are any.",
        see="Reason `rollout_in_progress`.",
        cure="Nothing. If the rollout has stopped, deploy a change.",
        real="",
        fake="",
    ),
    Fault(
        id="automatic-rollback",
        fault="Swarm rolls a bad deploy back",
        does="The rollback ends on the good version, also under load.",
        see="Reason `rollout_in_progress`.",
        cure="Look at the deploy.",
        real="",
        fake="",
    ),
    Fault(
        id="deploy-lowers",
        fault="`docker stack deploy` lowers the count",
        does="It restores the count once the rollout is over, also after a restart.",
        see="Reason `restored_after_deploy`.",
        cure="`autoscaler stack-file` avoids the dip.",
        real="",
        fake="",
    ),
    Fault(
        id="rollback-point",
        fault="You need the version before the last deploy",
        does="It saved that version in a label, at the first scale after the deploy.",
        see="`rollback_point_replaced`.",
        cure="Run `autoscaler rollback SERVICE`.",
        real="",
        fake="",
    ),
)
OPERATORS = (
    Fault(
        id="operator-scales",
        fault="Somebody scales by hand",
        does="It adopts the count and starts the cooldown, for every strategy.",
        see="Reason `changed_externally`.",
        real="",
        fake="",
    ),
    Fault(
        id="scaled-to-zero",
        fault="Somebody scales to 0",
        does="It leaves the service at 0.",
        see="Reason `scaled_to_zero`.",
        cure="Scale the service to 1 or more to resume.",
        real="",
        fake="",
    ),
    Fault(
        id="paused",
        fault="Nothing must be scaled for a while",
        does="In an incident or a migration, `autoscaler pause` holds the named services, or all. It counts from the "
        "next evaluation on, through crashes, restarts and takeovers. A pause with a duration ends by itself.",
        see="Reason `paused`, with who, until when and why; `autoscaler_paused`; `pauses_changed`.",
        cure="Use `autoscaler pause` and `autoscaler resume`.",
        real="",
        fake="",
    ),
    Fault(
        id="pauses-race",
        fault="Several operators pause and resume at the same time",
        does="Each gets what they asked for. A longer pause is never shortened.",
        see="Each command prints all pauses.",
        real="",
        fake="",
    ),
    Fault(
        id="pauses-unreadable",
        fault="The pauses cannot be read",
        does="The pauses that were read last stay in force. If none were ever read, it scales nothing.",
        see="`pauses_lost`, `pauses_recovered`; reason `paused`, with the call to allow.",
        cure="Let the proxy pass the call that the message names.",
        fake="",
    ),
    Fault(
        id="pauses-damaged",
        fault="Somebody damaged a label of the pauses",
        does="The service of that label counts as paused.",
        see="Reason `paused`, with the label's name.",
        cure="Run `autoscaler resume SERVICE`.",
        fake="",
    ),
)
AUTOSCALERS = (
    Fault(
        id="leader-dies",
        fault="The leader dies",
        does="The standby takes over within 30 s, also if the dead node led the Swarm. A single autoscaler acts again "
        "after 18 to 20 s.",
        see="`lease_acquired`; reason `not_leader`; `autoscaler_leader`.",
        cure="Alert if `sum(autoscaler_leader)` is not 1 for more than a minute while `autoscaler_mode` is live.",
        real="killed, alone and in the stack; stopped for 40 s; its node killed",
        fake="",
    ),
    Fault(
        id="partition",
        fault="The leader's manager is in a network partition",
        does="The leader may get stale reads for up to 20 s, and cannot write. It stops scaling 10 to 13 s after its "
        "last renewal, and the standby on the other side takes over. After the partition it is the standby.",
        see="Outcome `unknown`, `lease_lost`, reason `not_leader`; on the other side `lease_acquired`.",
        cure="End the partition.",
        real="",
        fake="",
    ),
    Fault(
        id="two-act",
        fault="Split brain: two autoscalers believe that they lead",
        does="The version index refuses the second change.",
        see="Outcome `conflict`.",
        real="with the stale reads of a manager in a partition",
        fake="",
    ),
    Fault(
        id="lease-unusable",
        fault="The lease cannot be read or written",
        does="It scales nothing.",
        see="`lease_failed`, with the calls to allow.",
        cure="Let the proxy pass the calls that the message names.",
        fake="",
    ),
    Fault(
        id="autoscaler-updated",
        fault="The autoscaler itself is deployed again",
        does="With another image, policies or settings, one of the two is replaced after the other. The leader hands "
        "the lease over at once. No change is made twice.",
        see="`lease_given_back`, `lease_acquired`.",
        real="",
    ),
    Fault(
        id="killed",
        fault="The daemon is killed",
        does="It makes no second change for the same breach. It removes nothing before the windows are complete.",
        real="before and after every call to Docker around a step",
        fake="before and after every call to anything",
    ),
    Fault(
        id="asked-to-stop",
        fault="The daemon gets SIGTERM",
        does="It hands the lease over, and finishes or verifies the write on its way. It exits with 0 within the 30 s "
        "that the stack allows, also if the engine hangs in the middle of that write.",
        see="`daemon_stopped`; `lease_left_behind` if the lease could not be handed over.",
        real="",
        fake="",
    ),
    Fault(
        id="evaluation-late",
        fault="An evaluation takes longer than the interval",
        does="Evaluations never overlap. Missed ones are skipped.",
        see="`autoscaler_evaluations_missed_total`.",
        cure="Find out which backend is slow.",
        fake="",
    ),
    Fault(
        id="defect",
        fault="The autoscaler has a defect",
        does="A service that cannot be decided on stays as it is, and the others go on. Anywhere else it costs one "
        "evaluation.",
        see="`service_failed` with the place in the code, or `evaluation_failed` with a traceback.",
        cure="Report it.",
        fake="",
    ),
)
FILES = (
    Fault(
        id="policies-broken",
        fault="A policy file is broken while the daemon runs",
        does="The last good set stays in force as a whole.",
        see="`policies_refused` with file:line:column.",
        cure="Correct the file; `autoscaler check` helps.",
        real="",
        fake="",
    ),
    Fault(
        id="policies-redeployed",
        fault="A broken policy edit is deployed under a new revision",
        does="The new task exits before it reads or writes anything in Swarm. Swarm brings the last good revision "
        "back. The other autoscaler goes on.",
        see="`docker service ps`; the failed task's log has file:line:column.",
        cure="Correct it, run `autoscaler check`, and deploy it under another revision.",
        real="",
    ),
    Fault(
        id="policies-conflict",
        fault="Two policies match one service with the same priority, or a label of it is wrong, or another program "
        "scales it by a label",
        does="It leaves that service alone. Other services go on.",
        see="Reason `policy_conflict`, with the cure.",
        cure="Correct the policy or the label. Name a service exactly if another program may scale it too.",
        fake="",
    ),
    Fault(
        id="labels-damaged",
        fault="Somebody damaged the labels `autoscaler.state` or `autoscaler.rollback`",
        does="It ignores a label that it cannot read, or that is longer than its own ever are. The next scale writes "
        "the label again, and removes a huge one.",
        see="Reason `changed_externally`, with the label's name; the message of `autoscaler rollback`.",
        cure="Find out who wrote it. If Swarm refuses a service because of its size, shorten its other labels.",
        real="a megabyte",
        fake="",
    ),
    Fault(
        id="history-unwritable",
        fault="The disk of the history is full, read-only or slow",
        does="Evaluations and scaling go on. The history goes on in memory with the newest of what the file has. The "
        "file is tried again every 20 evaluations, and then gets what memory has.",
        see="`history_lost` and `history_recovered`; `problem` in `/api/v1/history` and `autoscaler history`.",
        cure="Make room on the disk, or let the autoscaler's user write there.",
        fake="",
    ),
    Fault(
        id="history-damaged",
        fault="The file of the history is damaged",
        does="It gives the file another name beside it, at most three times, and begins a new one. It deletes nothing.",
        see="`history_set_aside` with the new name.",
        cure="Check the disk. Remove the damaged files.",
        fake="",
    ),
    Fault(
        id="history-shared",
        fault="Two autoscalers have the same folder for their history",
        does="The first one has the file. The second one keeps its history in memory, and takes the file over when the "
        "first one ends.",
        see="`history_lost`, with another process that uses the file.",
        cure="Give each of them a folder of its own, as `deploy/stack.yml` does.",
        fake="",
    ),
    Fault(
        id="plugin-broken",
        fault="A plugin raises, hangs, or returns nonsense",
        does="Its rule lacks data. Other rules go on.",
        see="Reason `no_data`, with what happened; `lacking` in the log.",
        cure="Tell its author.",
        fake="",
    ),
)
HOSTILE = (
    Fault(
        id="write-refused",
        fault="Writes are refused, by a socket proxy or by the engine",
        does="It tries again at each evaluation, and reports the refusal once: for all services if a proxy refuses, "
        "for the service if the engine does not take its spec.",
        see="`write_refused` with the call, `write_accepted` when a write passes; outcome `failed`. "
        '`autoscaler_problems{kind="write"}`. `/-/ready` answers 503 if all writes are refused.',
        cure="Let the proxy pass the call that the message names.",
        real="by a proxy",
        fake="",
    ),
    Fault(
        id="nothing-matched",
        fault="A policy, a glob or a name in it matches no service",
        does="It scales the services that do match.",
        see="`policy_unmatched` for a policy or a glob, reason `service_not_found` for a name. Both have the name that "
        "may be meant, also in `plan` and `check --live`.",
        cure="Correct the name, or deploy the service.",
        real="",
        fake="",
    ),
    Fault(
        id="socket-proxy",
        fault="The socket proxy refuses a call, or a stranger calls it",
        does="It scales nothing without the calls it needs. The proxy refuses all other calls.",
        see="`swarm_lost`, `lease_failed`, with the calls to allow.",
        cure="Use the allowlist of `deploy/stack.yml`.",
        real="",
        fake="",
    ),
    Fault(
        id="hostile-answers",
        fault="Docker or Prometheus answer with undocumented or deeply nested JSON",
        does="It does not take such an answer for data. It removes nothing, and the evaluation goes on.",
        see="`swarm_lost`, `prometheus_lost`, with what was odd.",
        cure="Find out what answers there.",
        fake="",
    ),
    Fault(
        id="hostile-files",
        fault="Policy files are made to hang the daemon or to fill its memory",
        does="It refuses bombs, pipes and crowds of files within seconds, and keeps the last good set.",
        see="`policies_refused`, with the bound that is exceeded.",
        cure="Find out who wrote them.",
        fake="",
    ),
    Fault(
        id="secrets",
        fault="A server sends credentials back, or redirects to another server",
        does="It masks credentials. It follows no redirect, neither Docker's nor Prometheus'.",
        see="`***` in the server's words; `swarm_lost`, `prometheus_lost`.",
        cure="Find out why the server does that.",
        fake="",
    ),
    Fault(
        id="hostile-text",
        fault="Names, labels or messages hold line breaks, terminal escapes, markup or quotes",
        does="It shows them escaped.",
        see="`\\x1b`, `\\n` in logs and tables.",
        cure="Find out who wrote them.",
        fake="",
    ),
    Fault(
        id="http-stranger",
        fault="An unauthenticated client asks over HTTP to pause, resume or reload",
        does="It changes nothing. The answer is 403 if no token is set, and 401 without the right one.",
        see="Nothing. `pause_requested` and `resume_requested` are logged only for requests with the token.",
        real="",
        fake="",
    ),
    Fault(
        id="http-slow",
        fault="Hundreds of HTTP clients are slow, silent, or ask without end",
        does="It closes a connection 30 s after its last answer. Of more than 100 connections it closes the one that "
        "has been silent longest. It makes long answers one at a time. Evaluations, health and the lease go on.",
        fake="",
    ),
)
AREAS = (
    ("Data", DATA),
    ("Swarm", SWARM),
    ("Deploys", DEPLOYS),
    ("Operators and pauses", OPERATORS),
    ("The autoscalers", AUTOSCALERS),
    ("Files, labels and plugins", FILES),
    ("Hostile answers and requests", HOSTILE),
)
"""The faults by the area that they are in, in the order of the document."""
FAULTS = tuple(fault for _, faults in AREAS for fault in faults)
"""Every fault."""
