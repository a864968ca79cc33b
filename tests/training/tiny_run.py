"""A run small enough for a test: two languages that differ in the mean of one column, phones in another. And how to start
processes of it, one that can be killed or several that train together."""

import os
import socket
from multiprocessing import get_context

import numpy as np
import torch

from isogloss.config import MarginConfig, TrainConfig
from isogloss.frontend.store import Store, StoreWriter
from isogloss.stages.train import chunk_cavg
from isogloss.systems import TABLE_1
from isogloss.training import trained
from isogloss.training.chunks import ChunkReader, chunk_table
from isogloss.training.loop import Data, Run
from isogloss.types import IGNORE_PDF

CONFIG = TrainConfig(
    width=8, chunk_frames=20, hop_frames=20, batch_size=16, cycles=(1, 1), chunks_per_epoch=96, precision="fp32", threads=1,
    log_every=2, checkpoint_every=4, learning_rate=1e-2, weight_decay=0.0, margin=MarginConfig(warmup_steps=3),
)  # fmt: skip
KEYS = [f"{language}{number}" for language in "xy" for number in range(12)]
MODULES = ["isogloss.training.loop", "isogloss.training.trained", "isogloss.stages.train"]


def write_stores(root, unlabelled=0.0):
    generator, missing = np.random.default_rng(0), np.random.default_rng(1)
    with StoreWriter(root / "frames", np.float16, (4,)) as frames, StoreWriter(root / "labels", np.int16) as labels:
        for key in KEYS:
            pdfs = generator.integers(0, 5, 90)
            rows = generator.normal(size=(90, 4))
            rows[:, 0] += 3.0 * (key[0] == "y")
            rows[:, 1] += pdfs
            frames.add(key, rows)
            labels.add(key, np.where(missing.random(90) < unlabelled, IGNORE_PDF, pdfs))
    return root


def read_data(root):
    frames, labels = Store(root / "frames"), Store(root / "labels")
    train, valid = ([key for key in KEYS if (int(key[1:]) < 9) is first] for first in (True, False))
    tables = (chunk_table(frames, keys, [int(key[0] == "y") for key in keys], 20, 20) for keys in (train, valid))
    return Data(ChunkReader(frames, labels, 20), *tables, 2, lambda loglik, true: chunk_cavg(["x", "y"], loglik, true))


def make(data, folder, system="5", config=CONFIG, dtype=torch.float32, **more):
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    network, loss = (m.to(dtype) for m in trained.build(TABLE_1[system], config, 4, num_languages=2, num_pdfs=5))
    network.register_forward_pre_hook(lambda module, arguments: (arguments[0].to(dtype),))
    return Run(network, loss, data, config, folder, "fingerprint", **more)


def weights(run):
    return {**run.network.state_dict(), **{f"loss.{k}": v for k, v in run.loss.state_dict().items()}}


def nothing(done, total):
    pass


def start(function, *arguments):
    """A process of its own that runs `function(*arguments)`, from a server that has imported torch once for all."""
    context = get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    process = context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def together(num, folder, function, *arguments):
    """What `function(*arguments)` returns in each of `num` processes that know of each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(_in_group, num, index, port, folder, function, arguments) for index in range(num)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * num
    return [torch.load(folder / f"result{index}.pt") for index in range(num)]


def _in_group(num, index, port, folder, function, arguments):
    size, rank = str(num), str(index)
    os.environ |= {"WORLD_SIZE": size, "RANK": rank, "LOCAL_WORLD_SIZE": size, "LOCAL_RANK": rank}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    torch.save(function(*arguments), folder / f"result{index}.pt")
