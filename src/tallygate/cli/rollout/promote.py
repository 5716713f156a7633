"""`tallygate rollout promote`: the next stage for one service, as a change to review."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from tallygate.application.rollout_promotion import Promotion, hindrances, stage_to_reach
from tallygate.application.rollout_status import Kind, ServiceStatus
from tallygate.bootstrap.books import open_ledger
from tallygate.bootstrap.rollout import RolloutFolder, open_rollout, status_of
from tallygate.bootstrap.rollout_promotion import Promoted, prepare_promotion, write_promotion
from tallygate.cli.failures import FINDING, told
from tallygate.cli.policy.options import in_folder, told_of_policies
from tallygate.cli.rollout.options import as_of, of_ledger, since, window_of
from tallygate.cli.times import instant_of
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.rollout import Plan, StageName
from tallygate.settings import read_settings


@click.command()
@click.argument("service")
@in_folder
@click.option("--to", "wanted", type=click.Choice(["pilot", "enforce"]), help="[default: the next]")
@click.option("--environment", help="Enforce only here, and look at its calls only.")
@click.option("--canary", type=click.IntRange(1, 100), help="Percent of calls to enforce.")
@click.option(
    "--from",
    "begins_ns",
    metavar="TIME",
    callback=instant_of,
    help="Enforce from this instant on, by a dated step.  [default: as soon as it is merged]",
)
@since("14d")
@as_of
@click.option("--force", is_flag=True, help="Also when it is not ready; needs --reason.")
@click.option("--reason", help="Why it cannot wait; stands as a comment at the entries.")
@click.option(
    "--update-cases",
    is_flag=True,
    help="Write the new decision into cases that are decided differently then.",
)
@click.option("--dry-run", is_flag=True, help="Show the change and write nothing.")
@of_ledger
def promote(**chosen: Any) -> None:  # noqa: ANN401 - click's own values
    """
    Edit the registry and the plan so that SERVICE is enforced, and print the change as a diff.

    A service that is not ready is refused. No proxy is touched: the change is for a pull request.
    """
    asked = _Asked(**chosen)
    _require_reason(asked)
    with told(), told_of_policies():
        promoted = _promoted(asked)
    for warning in promoted.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(promoted.diff, nl=False)
    if asked.dry_run:
        click.echo("Nothing was written (--dry-run).", err=True)
    else:
        click.echo("Written; review it, then open a pull request.", err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options."""

    service: str
    folder: Path
    wanted: str | None
    environment: str | None
    canary: int | None
    begins_ns: int | None
    since: str
    as_of_ns: int | None
    force: bool
    reason: str | None
    update_cases: bool
    dry_run: bool
    ledger: str | None


def _promoted(asked: _Asked) -> Promoted:
    window = window_of(asked.since, asked.as_of_ns, asked.environment)
    now_ns = window.until_ns
    rollout = open_rollout(asked.folder, now_ns)
    plan = _plan_of(rollout, asked.folder)
    _require_registered(rollout, asked.service, asked.environment)
    with open_ledger(read_settings(), asked.ledger, unhurried=True) as opened:
        line = _line_of(status_of(rollout, opened, window, asked.service).services, asked.service)
    promotion = Promotion(
        service=asked.service,
        to=_stage(line, asked.wanted),
        environment=asked.environment,
        canary=asked.canary,
        begins_at=text_from_ns(asked.begins_ns) if asked.begins_ns is not None else None,
    )
    against = hindrances(promotion, line, plan, now_ns)
    if against and not asked.force:
        _refuse(promotion, against)
    comment = _comment(promotion, against, asked.reason, now_ns)
    promoted = prepare_promotion(
        asked.folder, promotion, now_ns, comment, update_cases=asked.update_cases
    )
    if not asked.dry_run:
        write_promotion(promoted)
    return promoted


def _require_reason(asked: _Asked) -> None:
    reason = (asked.reason or "").strip()
    if asked.force and not reason:
        raise click.UsageError("--force needs --reason: why can it not wait?")
    if reason and not asked.force:
        raise click.UsageError("--reason goes with --force.")
    if not reason.isprintable():
        raise click.BadParameter(
            "write it on one line, in printable characters.", param_hint="--reason"
        )


def _plan_of(rollout: RolloutFolder, folder: Path) -> Plan:
    if rollout.facts.plan is None:
        raise click.UsageError(
            f"there is no rollout plan in {folder}; write one with `tallygate rollout plan -o "
            f"{folder / 'rollout' / 'plan.yaml'}`."
        )
    return rollout.facts.plan


def _require_registered(rollout: RolloutFolder, service: str, environment: str | None) -> None:
    known = rollout.facts.registry.values
    if service not in known["service"]:
        raise click.BadParameter(
            f"{service} is not in the registry; it has {', '.join(known['service'])}.",
            param_hint="SERVICE",
        )
    if environment is not None and environment not in known["environment"]:
        raise click.BadParameter(
            f"{environment} is not in the registry; it has {', '.join(known['environment'])}.",
            param_hint="--environment",
        )


def _line_of(lines: tuple[ServiceStatus, ...], service: str) -> ServiceStatus:
    return next(line for line in lines if line.name == service and line.kind is Kind.REGISTERED)


def _stage(line: ServiceStatus, wanted: str | None) -> StageName:
    try:
        return stage_to_reach(line, StageName(wanted) if wanted else None)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def _refuse(promotion: Promotion, against: tuple[str, ...]) -> NoReturn:
    click.echo(f"{promotion.service} is not ready for {promotion.to}:", err=True)
    for one in against:
        click.echo(f"  {one}", err=True)
    click.echo('Nothing was written. If it cannot wait: --force --reason "…".', err=True)
    raise SystemExit(FINDING)


def _comment(
    promotion: Promotion, against: tuple[str, ...], reason: str | None, now_ns: int
) -> str:
    """Say at the entries why a service was promoted before it was ready."""
    if not reason:
        return ""
    day = text_from_ns(now_ns)[:10]
    gates = ", ".join(dict.fromkeys(one.partition(" ")[0] for one in against)) or "nothing"
    return f"{promotion.service} to {promotion.to} on {day}, forced past {gates}: {reason.strip()}"
