"""A simulated syringe pump behind a real OPC UA server: ``opcua_pump.py PORT FOLDER [USER PASSWORD]``.

It writes a line to FOLDER/doses.jsonl for each dose, and what it remembers to FOLDER/memory.json. It can be called
(``Act``, ``Dispense``) and stepped like a programmable logic controller (``Volume``, ``Command``, ``State`` ...).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.user_managers import UserManager

NAMESPACE = "urn:aiida-finales:test:pump"
IDLE, BUSY, DONE, FAILED = 0, 1, 2, 3


class Manager(UserManager):
    def __init__(self, user, password):
        self.expected = (user, password)

    def get_user(self, _server, username=None, password=None, certificate=None):
        return User(role=UserRole.User, name=username) if (username, password) == self.expected else None


class Pump:
    def __init__(self, folder):
        self.folder = folder
        self.memory_file = folder / "memory.json"
        self.memory = json.loads(self.memory_file.read_text()) if self.memory_file.exists() else {}
        self.nodes = {}

    async def dose(self, key, volume):
        with (self.folder / "doses.jsonl").open("a") as stream:
            stream.write(json.dumps({"key": key, "volume": volume, "begin": time.time()}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        await asyncio.sleep(float(os.environ.get("PUMP_DELAY", "0")))
        return {"dosed_mL": volume, "ended": time.time(), "simulated": True, "n_doses": self.count()}

    def count(self):
        return len((self.folder / "doses.jsonl").read_text().splitlines())

    async def act(self, _parent, key, text):
        """Remembers keys: what was begun is never begun again."""
        key, parameters = key.Value, json.loads(text.Value)["parameters"]
        if key not in self.memory:
            self.memory[key] = {"dosed_mL": parameters["volume"], "simulated": True}
            self.memory_file.write_text(json.dumps(self.memory))
            await self.dose(key, parameters["volume"])
        return [ua.Variant(json.dumps(self.memory[key]), ua.VariantType.String)]

    async def act_without_memory(self, _parent, key, text):
        parameters = json.loads(text.Value)["parameters"]
        return [ua.Variant(json.dumps(await self.dose(key.Value, parameters["volume"])), ua.VariantType.String)]

    async def check(self, _parent, _key, text):
        volume = json.loads(text.Value)["parameters"]["volume"]
        if volume > 10:
            return ua.StatusCode(ua.StatusCodes.BadOutOfRange)
        return ua.StatusCode(ua.StatusCodes.BadInvalidArgument) if volume < 0 else []

    async def dispense(self, _parent, volume, times):
        assert volume.VariantType is ua.VariantType.Double
        assert times.VariantType is ua.VariantType.Int16
        await self.dose("dispense", volume.Value * times.Value)
        return [
            ua.Variant(volume.Value * times.Value, ua.VariantType.Double),
            ua.Variant("fine", ua.VariantType.String),
        ]

    async def scan(self):
        """The cycle of a programmable logic controller."""
        state = IDLE
        while True:
            await asyncio.sleep(0.02)
            command = await self.nodes["Command"].read_value()
            if state == IDLE and command == 1:
                await self.nodes["State"].write_value(BUSY, ua.VariantType.Int32)
                volume = await self.nodes["Volume"].read_value()
                await self.dose(await self.nodes["Key"].read_value(), volume)
                await self.nodes["Dosed"].write_value(volume, ua.VariantType.Float)
                state = FAILED if volume > 20 else DONE
            elif state == DONE and command == 0:
                state = IDLE
            await self.nodes["State"].write_value(state, ua.VariantType.Int32)


async def serve(port, folder, credentials):
    server = Server(user_manager=Manager(*credentials[:2]) if credentials[:1] != ["-"] and credentials else None)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/pump")
    if len(credentials) > 2:
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], SimpleRoleRuleset())
        await server.load_certificate(credentials[2])
        await server.load_private_key(credentials[3])
    index = await server.register_namespace(NAMESPACE)
    pump = Pump(folder)
    owner = await server.nodes.objects.add_object(ua.NodeId("Pump", index), ua.QualifiedName("Pump", index))
    text, double, short = ua.VariantType.String, ua.VariantType.Double, ua.VariantType.Int16
    for name, function, inputs, outputs in (
        ("Act", pump.act, [text, text], [text]),
        ("ActWithoutMemory", pump.act_without_memory, [text, text], [text]),
        ("Check", pump.check, [text, text], []),
        ("Dispense", pump.dispense, [double, short], [double, text]),
    ):
        await owner.add_method(
            ua.NodeId(f"Pump.{name}", index), ua.QualifiedName(name, index), function, inputs, outputs
        )
    for name, value, kind in (
        ("Volume", 0.0, double),
        ("Key", "", text),
        ("Command", 0, short),
        ("State", IDLE, ua.VariantType.Int32),
        ("Dosed", 0.0, ua.VariantType.Float),
    ):
        node = await owner.add_variable(ua.NodeId(f"Pump.{name}", index), ua.QualifiedName(name, index), value, kind)
        await node.set_writable()
        pump.nodes[name] = node
    async with server:
        print("ready", flush=True)
        await pump.scan()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
