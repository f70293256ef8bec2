"""A hundred bodies of SMPL's size with smplx (0.1.28) and PyTorch, for comparison with `cargo bench --bench files`.

usage: files_smplx.py [--runs 20] [--threads 2] [--rounds 3] [--ours PATH_OF_THE_BENCH]
The model's numbers are random: their values do not change the time. With --ours the two are run by turns.
"""

import argparse
import re
import subprocess
import time

import numpy as np
import smplx
import torch

POINTS, JOINTS = 6890, 24
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def arrays():
    rng = np.random.default_rng(0)
    weights = np.zeros((POINTS, JOINTS))
    for k in range(4):
        weights[np.arange(POINTS), (np.arange(POINTS) + k) % JOINTS] = 0.25
    regressor = np.zeros((JOINTS, POINTS))
    for joint in range(JOINTS):
        regressor[joint, 10 * joint : 10 * joint + 10] = 0.1
    return smplx.utils.Struct(
        v_template=rng.uniform(-0.5, 0.5, (POINTS, 3)),
        shapedirs=rng.uniform(-0.01, 0.01, (POINTS, 3, 10)),
        posedirs=rng.uniform(-0.005, 0.005, (POINTS, 3, 207)),
        J_regressor=regressor,
        weights=weights,
        kintree_table=np.array([PARENTS, range(JOINTS)]),
        f=(np.arange(13776 * 3).reshape(-1, 3) % POINTS),
    )


def ours(path):
    output = subprocess.run([path, "--bench", "smpl_pose_100"], capture_output=True, text=True).stdout
    number, unit = re.search(r"smpl_pose_100\s+([\d.]+) (ms|s)\b", output).groups()
    return float(number) * (1e3 if unit == "s" else 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = smplx.SMPL("", data_struct=arrays(), batch_size=100)
    pose, root, betas = torch.randn(100, 69) * 0.3, torch.randn(100, 3) * 0.3, torch.full((100, 10), 0.3)
    theirs, own = [], []
    with torch.inference_mode():
        for _ in range(options.rounds):
            for _ in range(options.runs):
                start = time.perf_counter()
                model(body_pose=pose, global_orient=root, betas=betas)
                theirs.append(1e3 * (time.perf_counter() - start))
            own += [ours(options.ours)] if options.ours else []
    line = f"smplx, 100 bodies: least {min(theirs):.1f} ms"
    if own:
        line += f"; this program {min(own):.1f} ms; ratio {min(own) / min(theirs):.2f}"
    print(line)


if __name__ == "__main__":
    main()
