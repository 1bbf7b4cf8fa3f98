"""Bytes that no kernel should trust, and more of them than it should like: after each, the kernel answers and computes.

In: the name of the kernelspec in FINETUNING_KERNEL_NAME. Out: unittest's report.
"""

import json
import os
import random
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import zmq
from jupyter_client.manager import KernelManager

DELIMITER = b"<IDS|MSG>"
PATIENCE = 120


class WireTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.manager = KernelManager(kernel_name=os.environ["FINETUNING_KERNEL_NAME"])
        cls.manager.start_kernel(env=dict(os.environ, FINETUNING_HISTORY=""))
        cls.client = cls.manager.client()
        cls.client.start_channels()
        cls.client.wait_for_ready(timeout=PATIENCE)
        cls.context = zmq.Context()
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.client.stop_channels()
        cls.manager.shutdown_kernel(now=True)
        cls.context.destroy(linger=0)
        cls.folder.cleanup()

    def tearDown(self):
        self.assertEqual(self.run_cell("1 + 1")[1], "2")

    def run_cell(self, code, **fields):
        """The reply, the text of the result and the text of stdout."""
        result, out = None, []

        def seen(message):
            nonlocal result
            if message["msg_type"] == "execute_result":
                result = message["content"]["data"]["text/plain"]
            elif message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                out.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=seen, timeout=PATIENCE, **fields)
        return reply["content"], result, "".join(out)

    def socket_to(self, channel):
        raw = self.context.socket(zmq.DEALER)
        raw.linger = 0
        raw.connect(f"tcp://127.0.0.1:{getattr(self.manager, channel + '_port')}")
        return raw

    def send_raw(self, frames, channels=("shell", "control", "stdin")):
        for channel in channels:
            raw = self.socket_to(channel)
            raw.send_multipart(frames)
            # Time to arrive; the kernel reads messages in order, so the answer to the next one comes after these.
            self.assertEqual(raw.poll(150), 0, f"an answer on {channel} to {frames!r:.80}")
            raw.close()

    def frames(self, kind, content, key=None):
        session = self.client.session
        message = session.msg(kind, content)
        frames = session.serialize(message)
        if key is not None:
            frames[1] = key
        return frames

    def untouched(self):
        return os.path.join(self.folder.name, f"touched-{random.random()}")

    def test_unsigned_code_never_runs(self):
        for signature in (b"", b"0" * 64, b"\xff\xfe", b"a" * 100_000):
            file = self.untouched()
            code = f'std::fs::write({json.dumps(file)}, "").unwrap();'
            self.send_raw(self.frames("execute_request", {"code": code, "silent": False}, key=signature))
            self.run_cell("2")
            self.assertFalse(os.path.exists(file))
        # The same request runs when it is signed.
        file = self.untouched()
        self.run_cell(f'std::fs::write({json.dumps(file)}, "").unwrap();')
        self.assertTrue(os.path.exists(file))

    def test_a_changed_part_breaks_the_signature(self):
        file = self.untouched()
        frames = self.frames("execute_request", {"code": "1", "silent": False})
        frames[5] = json.dumps({"code": f'std::fs::write({json.dumps(file)}, "").unwrap();'}).encode()
        self.send_raw(frames)
        self.run_cell("2")
        self.assertFalse(os.path.exists(file))

    def test_broken_frames_are_dropped(self):
        good = self.frames("execute_request", {"code": "1"})
        sign = self.client.session.sign
        for frames in (
            [b""],
            [b"garbage"],
            [DELIMITER],
            [DELIMITER, b""],
            good[:3],
            good[:5],
            [b"no delimiter"] + good[1:],
            [DELIMITER, sign([b"{", b"{}", b"{}", b"{}"]), b"{", b"{}", b"{}", b"{}"],
            [DELIMITER, sign([b"\xff\xff"] * 4)] + [b"\xff\xff"] * 4,
            [DELIMITER, sign([b"[]", b"1", b"null", b'"x"']), b"[]", b"1", b"null", b'"x"'],
            [bytes(random.Random(7).randbytes(5000)) for _ in range(20)],
        ):
            self.send_raw(frames)

    def test_every_socket_survives_noise_and_hasty_clients(self):
        noise = random.Random(11)
        for channel in ("shell", "control", "stdin", "iopub", "hb"):
            port = getattr(self.manager, channel + "_port")
            for _ in range(5):
                raw = socket.create_connection(("127.0.0.1", port), timeout=10)
                raw.sendall(noise.randbytes(noise.randrange(1, 4000)))
                raw.close()
            # A client that leaves in the middle of a greeting, and one that says it speaks ZMTP and sends nothing.
            for greeting in (b"\xff\x00", b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL"):
                raw = socket.create_connection(("127.0.0.1", port), timeout=10)
                raw.sendall(greeting)
                raw.close()

    def test_unknown_types_are_refused_or_ignored(self):
        for kind in ("no_such_request", "", "execute_reply", "comm_msg", "comm_close", "💥"):
            for channel in (self.client.shell_channel, self.client.control_channel):
                channel.send(self.client.session.msg(kind, {"comm_id": "../../x", "data": {}}))
        opened = self.client.session.msg("comm_open", {"comm_id": "c", "target_name": "none", "data": {}})
        self.client.shell_channel.send(opened)
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["msg_type"] == "comm_close" and message["parent_header"]["msg_id"] == opened["msg_id"]:
                break

    def test_fields_of_the_wrong_type_get_an_answer(self):
        for kind, content in (
            ("complete_request", {"code": 7, "cursor_pos": -1}),
            ("complete_request", {"code": "é", "cursor_pos": 10**15}),
            ("inspect_request", {}),
            ("history_request", {"hist_access_type": [], "n": "many", "session": 2**70}),
            ("is_complete_request", {"code": None}),
            ("comm_info_request", {"target_name": 1}),
            ("kernel_info_request", {"a": [{}]}),
        ):
            message = self.client.session.msg(kind, content)
            self.client.shell_channel.send(message)
            while True:
                reply = self.client.get_shell_msg(timeout=PATIENCE)
                if reply["parent_header"]["msg_id"] == message["msg_id"]:
                    break
            self.assertEqual(reply["msg_type"], kind.replace("_request", "_reply"))

    def test_a_cell_of_ten_megabytes(self):
        text = "x" * (10 << 20)
        self.assertEqual(self.run_cell(f"/* {text} */ 6 * 7")[1], "42")

    def test_a_hundred_thousand_lines_arrive_in_order(self):
        _, _, out = self.run_cell('for i in 0..100_000 { println!("line {i}"); }')
        self.assertEqual(out, "".join(f"line {i}\n" for i in range(100_000)))

    def test_many_requests_at_once_are_all_answered(self):
        asked = {self.client.kernel_info() for _ in range(100)} | {self.client.is_complete("1") for _ in range(100)}
        while asked:
            asked.discard(self.client.get_shell_msg(timeout=PATIENCE)["parent_header"]["msg_id"])

    def test_ports_are_bound_to_the_given_address_only(self):
        for channel in ("shell", "control", "stdin", "iopub", "hb"):
            port = getattr(self.manager, channel + "_port")
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            with socket.socket() as other:
                # It can be bound by someone else only if the kernel has not bound it everywhere.
                other.bind(("127.0.0.2", port))

    def test_a_connection_file_that_others_can_read_is_closed_or_refused(self):
        program = self.manager.kernel_spec.argv[0]
        with open(self.manager.connection_file) as source:
            connection = json.load(source)
        for port in ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                connection[port] = free.getsockname()[1]
        file = os.path.join(self.folder.name, "open.json")
        with open(file, "w") as copy:
            json.dump(connection, copy)
        os.chmod(self.folder.name, 0o755)
        environment = {name: value for name, value in os.environ.items() if name != "JUPYTER_ALLOW_INSECURE_WRITES"}
        # Of our own, as VS Code writes it: closed to the others, and the kernel starts.
        os.chmod(file, 0o644)
        kernel = subprocess.Popen([program, "kernel", file], stderr=subprocess.DEVNULL, env=environment)
        try:
            deadline = time.time() + PATIENCE
            while socket.socket().connect_ex(("127.0.0.1", connection["shell_port"])) != 0:
                self.assertIsNone(kernel.poll())
                self.assertLess(time.time(), deadline)
                time.sleep(0.05)
            self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        finally:
            kernel.kill()
            kernel.wait()
        # Of someone else, which only root can make: refused.
        if os.geteuid() == 0:
            os.chmod(file, 0o644)
            os.chown(file, 12345, -1)
            ended = subprocess.run([program, "kernel", file], capture_output=True, text=True, timeout=PATIENCE, env=environment)
            self.assertEqual(ended.returncode, 1)
            self.assertIn("chmod 600", ended.stderr)
        self.assertEqual(stat.S_IMODE(os.stat(self.manager.connection_file).st_mode) & 0o077, 0)

    def test_output_of_a_client_that_went_away_does_not_block(self):
        leaver = self.context.socket(zmq.SUB)
        leaver.subscribe(b"")
        leaver.connect(f"tcp://127.0.0.1:{self.manager.iopub_port}")
        time.sleep(0.2)
        leaver.close(linger=0)
        self.assertEqual(self.run_cell('for i in 0..1000 { println!("{i}"); } 3')[1], "3")


if __name__ == "__main__":
    unittest.main(verbosity=2)
