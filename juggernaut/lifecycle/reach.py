"""Reach: commands of a task reach the network where the policy allows it, and the log says so.

A task whose plan is high or critical never does, whoever approved it: what needs a network can be
done by a task of its own, and what is dangerous should not have it at the same time.
"""

from __future__ import annotations

from juggernaut.domain.model import Risk, risk_rank
from juggernaut.domain.network import Contact
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.gate import compose
from juggernaut.ports import Sandbox

ACTION = "network"


async def sandbox_of(attempt: Attempt) -> Sandbox:
    """Give the sandbox for the commands of an attempt, with a way out if it may have one."""
    services = attempt.services
    if services.gateway is None or not services.policy.network:
        return services.sandbox
    if risk_rank((await compose(attempt)).risk) >= risk_rank(Risk.HIGH):
        return services.sandbox

    async def tell(contact: Contact) -> None:
        """Write one connection down."""
        await attempt.log(
            ACTION,
            contact.told(),
            level="warning" if contact.refused or contact.cut else "info",
            metadata={
                "host": contact.host,
                "port": contact.port,
                "allowed": not contact.refused,
                "sent_bytes": contact.sent,
                "received_bytes": contact.received,
            },
        )

    return services.gateway.through(services.sandbox, services.policy.network, tell)
