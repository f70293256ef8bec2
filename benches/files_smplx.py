"""A hundred bodies of SMPL's size with smplx (0.1.28) and PyTorch, for comparison with `cargo bench --bench files`.

usage: files_smplx.py [--runs 20] [--threads 2] [--rounds 3] [--ours PATH_OF_THE_BENCH]
The model's numbers are random: their values do not change the time. With --ours the two are run by turns.
"""

import functools

import by_turns
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


def main():
    chosen = by_turns.options(runs=20)
    model = smplx.SMPL("", data_struct=arrays(), batch_size=100)
    pose, root, betas = torch.randn(100, 69) * 0.3, torch.randn(100, 3) * 0.3, torch.full((100, 10), 0.3)
    call = functools.partial(model, body_pose=pose, global_orient=root, betas=betas)
    by_turns.compare("smplx, 100 bodies", call, "smpl_pose_100", chosen)


if __name__ == "__main__":
    main()
