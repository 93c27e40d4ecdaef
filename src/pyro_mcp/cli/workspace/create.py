"""`pyro workspace create`: from an environment and a seed to a sandbox that stays."""

from __future__ import annotations

from collections.abc import Mapping

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.cli.workspace import show


@click.command(short_help="Make a workspace and start it.")
@click.argument("environment")
@click.option("--seed-path", help="A directory or archive (.tar, .tar.gz, .tgz, .tar.zst) to begin with.")
@click.option("--name", help="What you call it; need not be unique.")
@options.pairs("--label", "labels", metavar="KEY=VALUE", text="A label; may be given several times.")
@options.size
@click.option(
    "--ttl-seconds",
    type=int,
    default=600,
    show_default=True,
    help="How long it lives, 60-31536000; 0 is for ever.",
)
@click.option(
    "--network-policy",
    type=click.Choice(["off", "egress", "egress+published-ports"]),
    default="off",
    show_default=True,
    help="What the guest may reach.",
)
@options.allow
@options.secrets
@click.option("--allow-host-compat", is_flag=True, help="As for `pyro run`; here it permits nothing.")
@options.require_isolation
@options.as_json
@click.option("--id-only", is_flag=True, help="Print the id and nothing else.")
def create(
    environment: str,
    seed_path: str | None,
    name: str | None,
    labels: dict[str, str],
    vcpu_count: int,
    mem_mib: int,
    ttl_seconds: int,
    network_policy: str,
    allow: tuple[str, ...],
    literal_secrets: list[dict[str, str]],
    file_secrets: list[dict[str, str]],
    allow_host_compat: bool,
    require_isolation: str | None,
    json_output: bool,
    id_only: bool,
) -> None:
    """Make a workspace of ENVIRONMENT and start it. Its /workspace is a copy of the seed, or empty.

    That state is the baseline, which `diff` compares with and `reset` goes back to. Either all of it succeeds or
    nothing of it stays. When its time to live is over, the workspace is deleted, used or not. A secret becomes a file
    in /run/pyro-secrets of the guest.
    """
    if json_output and id_only:
        raise click.UsageError("--json and --id-only exclude each other")
    quiet = json_output or id_only
    with PullProgress(quiet=quiet) as progress:

        def on_event(event: Mapping[str, object]) -> None:
            progress.on_event(event)
            if event.get("event") == "phase" and not quiet:
                facts = " ".join(f"{fact}={value}" for fact, value in event.items() if fact != "event")
                output.note(f"[workspace-create] {facts}")

        made = sdk().create_workspace(
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network_policy=network_policy,
            allow=allow,
            allow_host_compat=allow_host_compat,
            require_isolation=require_isolation,
            seed_path=seed_path,
            name=name,
            labels=labels,
            secrets=[*literal_secrets, *file_secrets],
            on_event=on_event,
        )
    if json_output:
        output.json_object(made)
    elif id_only:
        output.human(made["workspace_id"])
    else:
        show.workspace(made)
        seed = made["workspace_seed"]
        show.left_out("workspace-create", seed["skipped"], seed["skipped_count"])
