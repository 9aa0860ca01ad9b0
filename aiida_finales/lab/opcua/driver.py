"""A device behind an OPC UA server: ``finales-opcua``.

Which nodes are read, written and called is declared in a profile: see :mod:`aiida_finales.lab.opcua.profile`. User,
password and certificates come from the environment: ``FINALES_OPCUA_USER``, ``FINALES_OPCUA_PASSWORD_FILE``,
``FINALES_OPCUA_SECURITY``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiida_finales.exceptions import DeviceInputError
from aiida_finales.lab.driver.command import Call
from aiida_finales.lab.driver.recall import run_recalling_driver
from aiida_finales.lab.opcua.profile import Calling, Profile, load_profile
from aiida_finales.schemas import Json
from aiida_finales.schemas.moment import timestamp

if TYPE_CHECKING:
    from aiida_finales.lab.opcua.session import Session


#: What the driver writes itself; a device that answers something else under these names is not believed.
_OWN = ("device", "key", "url", "started", "ended")


@dataclass(frozen=True)
class Plan:
    """What the device is going to be asked."""

    profile: Profile
    payload: Json


class OpcUa:
    """A device behind an OPC UA server."""

    name = "opcua"

    def __init__(self) -> None:
        self._session: Session | None = None

    def limitations(self) -> Json:
        """Return the limits in the profile that ``FINALES_OPCUA_PROFILE`` names."""
        name = os.environ.get("FINALES_OPCUA_PROFILE")
        if not name:
            raise DeviceInputError("FINALES_OPCUA_PROFILE is not set, accepted is the file of a profile")
        return {
            parameter: list(limits["enum"])
            if "enum" in limits
            else [{k: limits[k] for k in ("min", "max") if k in limits}]
            for parameter, limits in load_profile({"profile": name}).parameters.items()
            if limits.keys() & {"min", "max", "enum"}
        }

    def prepare(self, payload: Json) -> Plan:
        """Check profile and parameters; the device is not touched.

        :raises DeviceInputError: when one of them is not acceptable.
        :raises DeviceLimitationError: when a parameter is out of the range that the profile states.
        """
        profile = load_profile(payload.get("settings"))
        profile.check_payload(payload)
        return Plan(profile, payload)

    def describe(self, plan: Plan) -> str:
        """Return what is called or started, where, with which parameters."""
        way = plan.profile.way
        deed = f"call {way.method}" if isinstance(way, Calling) else f"write {way.command[1]} to {way.command[0]}"
        return f"{deed} at {plan.profile.url} with {json.dumps(plan.payload['parameters'])}"[:500]

    def check(self, plan: Plan, call: Call) -> None:
        """Connect, find all nodes and ask whether the device would act.

        :raises DeviceError: see :meth:`aiida_finales.lab.opcua.session.Session.open`.
        """
        self._session = self._open(plan, call)
        try:
            self._session.demand_readiness()
        except BaseException:
            self._session.close()
            raise

    def act(self, plan: Plan, call: Call) -> Json:
        """Make the device act, over the connection of the check."""
        if self._session is None:
            raise DeviceInputError("act was called without check")
        started = timestamp()
        try:
            results = self._session.act()
        finally:
            self._session.close()
        return self._report(plan, call, results) | {"started": started, "ended": timestamp()}

    def recall(self, plan: Plan, call: Call) -> Json | None:
        """Return the results of a key that the device remembers."""
        session = self._open(plan, call)
        try:
            results = session.recall()
        finally:
            session.close()
        if results is None:
            return None
        return self._report(plan, call, results) | {"recalled": timestamp()}

    def _open(self, plan: Plan, call: Call) -> Session:
        from aiida_finales.lab.opcua.session import Session

        values = {source: plan.profile.find_value(source, call.key, plan.payload) for source in plan.profile.sources}
        session = Session(plan.profile, values)
        try:
            session.open()
        except BaseException:
            session.close()
            raise
        return session

    def _report(self, plan: Plan, call: Call, results: Json) -> Json:
        answered = {name: value for name, value in results.items() if name not in _OWN}
        names: Json = {name: plan.payload[name] for name in ("quantity", "method") if name in plan.payload}
        own = {"device": self.name, "url": plan.profile.url, "key": call.key}
        return {"success": True, **names, **answered, **own}


def main() -> None:
    """Run ``finales-opcua`` and exit with its status."""
    sys.exit(run_recalling_driver(OpcUa()))


if __name__ == "__main__":
    main()
