"""The table of faults: what goes wrong, what the autoscaler does then, and where that is tried.

docs/operations.md shows it to operators (`python -m tests.docs.reference` writes it there). Tests name their row by
`@pytest.mark.fault("id")`; tests/docs/test_faults.py holds that every row is tried where it says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A row: a fault and what is expected of the autoscaler, in Markdown and an operator's words.

    *real* and *fake* say on what it was tried, and which part of the fault where it is not all: on a real Docker engine
    in swarm mode with a real Prometheus and cAdvisor, and on servers and a simulated Swarm that misbehave on purpose.
    None where it was not.
    """

    id: str
    fault: str
    does: str
    see: str
    cure: str
    real: str | None = None
    fake: str | None = None

    @property
    def tried(self) -> str:
        """On what it was tried, as the table's last column says it."""
        places = {"real": self.real, "fake": self.fake}
        return ", ".join(f"{name} ({part})" if part else name for name, part in places.items() if part is not None)


FAULTS = (
    # Data
    Fault(
        id="prometheus-away",
        fault="Prometheus refuses, times out, answers 5xx, HTML, half an answer",
        does="holds what needs data, keeps bounds and fallbacks, tries again with backoff, refills its windows by "
        "itself",
        see="`prometheus_lost`, `prometheus_recovered`; `no_data`, `stale_data`",
        cure="look at Prometheus; the message says where and what",
        real="stopped, hanging",
        fake="all",
    ),
    Fault(
        id="query-fails",
        fault="one query is wrong or too slow, or is answered with a warning (a store of Thanos is away)",
        does="the other metrics go on; that one is asked last",
        see="`query_failed` with the metric's name",
        cure="`autoscaler check --live`",
        real="",
        fake="",
    ),
    Fault(
        id="samples-missing",
        fault="samples missing, NaN, infinite, late, a hole",
        does="never 0, never a calm; one missing sample is forgiven, two in a row are not",
        see="`window_incomplete`, `stale_data`",
        cure="check the scrape; `check --live` shows the age of each sample",
        real="",
        fake="",
    ),
    Fault(
        id="tasks-silent",
        fault="some tasks do not report",
        does="no reduction; an `above` still fires where the missing ones at 0 leave it passed",
        see="`partial_data`",
        cure="`check --live` says how many of how many",
        real="",
        fake="",
    ),
    Fault(
        id="others-report",
        fault="tasks report that do not run: they drain, their health check fails, or another Swarm has a service of "
        "that name",
        does="no reduction, as the average may be low for them",
        see="`partial_data` with how many report and how many run",
        cure="look at the health check; set `AUTOSCALER_METRIC_SELECTOR` where the Prometheus sees several Swarms",
        fake="",
    ),
    Fault(
        id="limit-raised",
        fault="a deploy raises a limit of CPU or memory",
        does="no reduction before a whole window was measured under the new one: less was used as less was allowed",
        see="`window_incomplete` with when it was raised",
        cure="nothing",
        fake="",
    ),
    Fault(
        id="scrape-interval",
        fault="Prometheus scrapes at another interval than the settings say",
        does="goes on; where samples are too rare for the windows, nothing shrinks",
        see="`scrape_interval_differed`, with the setting that cures it",
        cure="set `AUTOSCALER_SCRAPE_INTERVAL`",
        real="",
    ),
    Fault(
        id="store-empty",
        fault="Prometheus starts with an empty store",
        does="keeps the samples it holds itself; no reduction before the windows are complete again, also after a "
        "restart of its own",
        see="`window_incomplete`",
        cure="nothing",
        real="with a restart of the autoscaler",
    ),
    Fault(
        id="clock-skew",
        fault="clocks differ",
        does="windows go by Prometheus' own clock, whatever the `Date` of a proxy before it says; set back, its "
        "samples are not used until it has caught up",
        see="`clock_skew_found`; `prometheus_lost` with how far it was set back",
        cure="NTP",
        real="shifted by a proxy",
        fake="",
    ),
    # Docker and Swarm
    Fault(
        id="swarm-away",
        fault="Docker is gone or hangs, the node is no manager any more, access denied",
        does="nothing is scaled; keeps evaluating",
        see="`swarm_lost`, `swarm_recovered`; `/-/healthy` stays good",
        cure="the message says which",
        real="stopped, demoted",
        fake="all",
    ),
    Fault(
        id="engine-upgraded",
        fault="the engine is upgraded while the autoscaler runs",
        does="speaks the new API version from its next read on, so that no field of a spec is lost",
        see="nothing, or `swarm_lost` and `swarm_recovered`",
        cure="nothing",
        real="20.10 to 28",
        fake="",
    ),
    Fault(
        id="write-unanswered",
        fault="a write without an answer",
        does="reads back first; it may still be applied",
        see="outcome `unknown`",
        cure="nothing: the next evaluation sees what became of it",
        real="applied after 40 s, as the quorum came back; never, by a parted leader",
        fake="",
    ),
    Fault(
        id="write-conflict",
        fault="somebody else changes the service at the same time",
        does="refused by the version index, read and decided anew, three times at most",
        see="outcome `conflict`",
        cure="nothing",
        real="",
        fake="",
    ),
    Fault(
        id="service-removed",
        fault="a service is removed in the middle, or made anew under its name",
        does="nothing is raised, and nothing removed on the samples of the one before",
        see="`service_not_found`, `window_incomplete`",
        cure="nothing",
        real="removed",
        fake="",
    ),
    Fault(
        id="no-room",
        fault="replicas find no room, fail, or start for long",
        does="no further increase; with `give_back`, lets go of added replicas that find no room for so long, and adds "
        "none for as long again",
        see="`tasks_pending`, with Swarm's own words; `autoscaler_unplaced_replicas`; `no_room`",
        cure="give it room (`autoscaler plan` adds up what would), or look at why it fails",
        real="",
        fake="",
    ),
    Fault(
        id="forgotten",
        fault="a count is changed while replicas wait for a node: Swarm never tries those again, whatever room appears",
        does="writes nothing of its own accord that would bring it about, but for what is due (bounds, schedules) and "
        "reductions; with `give_back`, gives added ones back, and what is added anew is tried",
        see="`tasks_pending` although there is room: `autoscaler plan` warns",
        cure="scale down by as many, and up again",
        real="",
        fake="",
    ),
    Fault(
        id="node-lost",
        fault="a node is lost with its tasks",
        does="its tasks count as running no more; no reduction before those left have complete windows, and a `target` "
        "counts what does not run as being at the target",
        see="`tasks_pending`, `partial_data`",
        cure="nothing: Swarm starts them elsewhere",
        real="killed",
        fake="",
    ),
    Fault(
        id="swarm-leader-lost",
        fault="the manager that leads the Swarm is lost, and the autoscaler speaks to another one",
        does="nothing is scaled while the others elect a leader; while that has not heard of all nodes their tasks do "
        "not count as running, and nothing is removed for it",
        see="`swarm_lost`, `swarm_recovered`; `tasks_pending` for a moment",
        cure="nothing",
        real="parted",
        fake="",
    ),
    Fault(
        id="quorum-lost",
        fault="half of the managers or more are lost",
        does="nothing is scaled; a step that was on its way may be carried out when they are back, and none follows it",
        see="`swarm_lost`, after 10 to 20 s `swarm_loss_explained`; `lease_lost`; outcome `unknown`",
        cure="bring managers back, until more than half are online",
        real="",
        fake="",
    ),
    Fault(
        id="partition",
        fault="the manager of the autoscaler that acts is parted from the others",
        does="it may be told old things for up to 20 s, and cannot write; 10 to 13 s after its last renewal it scales "
        "no more, and the other side's takes over; joined again it stands by",
        see="outcome `unknown`, `lease_lost`, `not_leader`; on the other side `lease_acquired`",
        cure="join the managers again",
        real="",
        fake="",
    ),
    Fault(
        id="unscalable",
        fault="a service is global or a job",
        does="leaves it alone: any write would run a job again",
        see="`unsupported_mode`",
        cure="take it out of the policy",
        real="",
        fake="",
    ),
    # Deploys and operators
    Fault(
        id="rollout",
        fault="a rolling update or rollback runs, is paused, or has just been deployed",
        does="nothing is written until it is over",
        see="`rollout_in_progress`",
        cure="nothing; a paused one is yours to resume",
        real="",
        fake="",
    ),
    Fault(
        id="deploy-repeated",
        fault="the same deploy is made again in the middle of its rollout: Swarm goes on with that, says nothing of it "
        "any more, and rolls nothing back",
        does="sees by the tasks that another version runs still, and writes nothing until none does",
        see="`rollout_in_progress`",
        cure="nothing; where it has stopped, deploy a change",
        real="",
        fake="",
    ),
    Fault(
        id="automatic-rollback",
        fault="an automatic rollback",
        does="ends on the good version, under load too",
        see="`rollout_in_progress`",
        cure="look at the deploy",
        real="",
        fake="",
    ),
    Fault(
        id="deploy-lowers",
        fault="`docker stack deploy` lowered the count",
        does="sets it again once the rollout is over, also after a restart",
        see="`restored_after_deploy`",
        cure="`stack-file` avoids the dip",
        real="",
        fake="",
    ),
    Fault(
        id="rollback-point",
        fault="you need the version before the last deploy",
        does="saved it in a label at the first scale after that deploy",
        see="`rollback_point_replaced`",
        cure="`autoscaler rollback SERVICE`",
        real="",
        fake="",
    ),
    Fault(
        id="operator-scales",
        fault="somebody scales by hand",
        does="adopts the count, starts the cooldown",
        see="`changed_externally`",
        cure="nothing",
        real="",
        fake="",
    ),
    Fault(
        id="scaled-to-zero",
        fault="somebody scales to 0",
        does="leaves it there",
        see="`scaled_to_zero`",
        cure="scale it to 1 or more to resume",
        real="",
        fake="",
    ),
    Fault(
        id="paused",
        fault="nothing must be scaled for a while: an incident, a migration",
        does="holds the services that `autoscaler pause` names, or all, from the next evaluation on, also after a "
        "crash, a restart, a takeover; a pause with a duration ends by itself",
        see="`paused`, with who, until when and why; `autoscaler_paused`; `pauses_changed`",
        cure="`autoscaler pause`, `autoscaler resume`",
        real="",
        fake="",
    ),
    Fault(
        id="pauses-race",
        fault="several operators pause and resume at the same time",
        does="each has what it asked for; a longer pause is never shortened",
        see="what each command prints: all that is paused",
        cure="nothing",
        real="",
        fake="",
    ),
    Fault(
        id="pauses-unreadable",
        fault="the pauses cannot be read",
        does="those that were read last stay in force; where none were read yet, nothing is scaled",
        see="`pauses_lost`, `pauses_recovered`; `paused`, with what to allow",
        cure="let the proxy pass the call it names",
        fake="",
    ),
    Fault(
        id="pauses-damaged",
        fault="somebody damaged a label of the pauses",
        does="the service that it is of counts as paused",
        see="`paused`, with the label's name",
        cure="`autoscaler resume SERVICE`",
        fake="",
    ),
    Fault(
        id="ineffective",
        fault="replicas do not help",
        does="stops after `ineffective_after` increases",
        see="`ineffective`",
        cure="look for the leak, the lock, the full database",
        real="",
        fake="",
    ),
    # Policies, labels, plugins
    Fault(
        id="policies-broken",
        fault="a policy file is broken while it runs",
        does="the last good set stays in force, whole",
        see="`policies_refused` with file:line:column",
        cure="correct it; `autoscaler check`",
        real="",
        fake="",
    ),
    Fault(
        id="policies-redeployed",
        fault="a broken policy edit is deployed under a new revision",
        does="the new task ends before it has read or written anything in Swarm, Swarm brings the last good revision "
        "back, and the other autoscaler goes on",
        see="`docker service ps`; the failed task's log has file:line:column",
        cure="correct it, and deploy it under another revision; `autoscaler check`",
        real="",
    ),
    Fault(
        id="policies-conflict",
        fault="two policies mean one service, or a label of it is wrong",
        does="that service is left alone, the others are not",
        see="`policy_conflict`, with the cure",
        cure="correct the policy or the label",
        fake="",
    ),
    Fault(
        id="labels-damaged",
        fault="somebody damaged the autoscaler's own labels on a service, `autoscaler.state` or `autoscaler.rollback`, "
        "or made them huge",
        does="reads no label that is longer than its own are, and takes one that it cannot read for none; the next "
        "scale writes it anew, and takes a huge one away",
        see="`changed_externally` with the label's name; what `autoscaler rollback` says",
        cure="find out who wrote it; where Swarm refuses a service for its size, shorten its other labels",
        real="a megabyte",
        fake="",
    ),
    Fault(
        id="plugin-broken",
        fault="a plugin raises, hangs, returns nonsense",
        does="its rule lacks data",
        see="`no_data` with what happened, `lacking` in the log",
        cure="tell its author",
        fake="",
    ),
    # HTTP
    Fault(
        id="http-stranger",
        fault="a stranger asks over HTTP to pause, resume or reload",
        does="changes nothing: without a token set 403, without the right one 401",
        see="nothing; `pause_requested` and `resume_requested` are of those who have the token",
        cure="nothing",
        real="",
        fake="",
    ),
    Fault(
        id="http-slow",
        fault="HTTP clients send or read slowly or not at all, or ask without end, by the hundred",
        does="closes a connection 30 s after its last answer, and of more than 100 that which is silent longest; makes "
        "long answers one at a time; evaluations, health and the lease go on",
        see="nothing",
        cure="nothing",
        fake="",
    ),
    # The autoscaler itself
    Fault(
        id="killed",
        fault="the daemon is killed",
        does="no second step for the same breach, no reduction before the windows are complete",
        see="nothing",
        cure="nothing",
        real="before and after every call to Docker around a step",
        fake="before and after every call to anything",
    ),
    Fault(
        id="leader-dies",
        fault="the autoscaler that acts dies",
        does="another one takes over within 30 s, also where the dead node led the Swarm; a single one acts again "
        "after 18 to 20 s",
        see="`lease_acquired`, `not_leader`; `autoscaler_leader`",
        cure="alert where `sum(autoscaler_leader)` is not 1 for more than a minute (it is 0 in dry-run)",
        real="killed, alone and in the stack; stopped for 40 s; its node killed",
        fake="",
    ),
    Fault(
        id="two-act",
        fault="two autoscalers believe that they act",
        does="the version index refuses the second step",
        see="outcome `conflict`",
        cure="nothing",
        real="what a parted manager showed",
        fake="",
    ),
    Fault(
        id="lease-unusable",
        fault="the lease cannot be read or written",
        does="nothing is scaled",
        see="`lease_failed`, with what to allow",
        cure="let the proxy pass the calls it names",
        fake="",
    ),
    Fault(
        id="autoscaler-updated",
        fault="the autoscaler itself is deployed anew: another image, policies, settings",
        does="one after the other; who acts gives the lease to the other at once, and no step is made twice",
        see="`lease_given_back`, `lease_acquired`",
        cure="nothing",
        real="",
    ),
    Fault(
        id="asked-to-stop",
        fault="SIGTERM",
        does="gives the lease back; finishes or verifies the write on its way; ends with 0 within the 30 s that the "
        "stack gives it, also where the engine hangs in the middle of that write",
        see="`daemon_stopped`, and `lease_left_behind` where the lease could not be given back",
        cure="nothing",
        real="",
        fake="",
    ),
    Fault(
        id="evaluation-late",
        fault="an evaluation takes longer than the interval",
        does="evaluations never overlap; the missed ones are not made up for",
        see="`autoscaler_evaluations_missed_total`",
        cure="look at which backend is slow",
        fake="",
    ),
    Fault(
        id="defect",
        fault="a defect of the autoscaler",
        does="leaves that service as it is which cannot be decided on, and scales the others; elsewhere costs one "
        "evaluation",
        see="`service_failed` with the place, `evaluation_failed` with a traceback",
        cure="report it",
        fake="",
    ),
    # Bad actors
    Fault(
        id="socket-proxy",
        fault="the socket proxy refuses a call, or somebody else calls it",
        does="nothing is scaled without its own calls; all others are refused",
        see="`swarm_lost`, `lease_failed`, with what to allow",
        cure="use the allowlist of `deploy/stack.yml`",
        real="",
        fake="",
    ),
    Fault(
        id="hostile-answers",
        fault="Docker or Prometheus answer with JSON that their API does not document, or too deeply nested",
        does="takes no such answer for data: no replica is removed, and the evaluation goes on",
        see="`swarm_lost`, `prometheus_lost`, with what was odd",
        cure="look at what answers there",
        fake="",
    ),
    Fault(
        id="hostile-files",
        fault="policy files that are made to hang or to fill the memory: bombs, pipes, crowds of files",
        does="refuses them within seconds, and keeps the last good set",
        see="`policies_refused`, with the bound that is passed",
        cure="find out who wrote them",
        fake="",
    ),
    Fault(
        id="secrets",
        fault="a server sends back the credentials that it was sent, or redirects to another",
        does="masks them; asks nobody whom a redirect names, be it Docker's or Prometheus'",
        see="`***` in its words; `swarm_lost`, `prometheus_lost`",
        cure="find out why it quotes them",
        fake="",
    ),
    Fault(
        id="hostile-text",
        fault="names, labels and messages hold line breaks, terminal escapes, markup, quotes",
        does="shows them escaped",
        see="`\\x1b`, `\\n` in logs and tables",
        cure="find out who wrote them",
        fake="",
    ),
)
"""Every fault, in the order of the document."""
