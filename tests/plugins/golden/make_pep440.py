"""What packaging says about versions and constraints. Written with packaging 26.3.

    python make_pep440.py > pep440.json            the golden file
    python make_pep440.py --seed 7                 random ones, for the live comparison
"""
import argparse
import itertools
import json
import random

import packaging
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

VERSIONS = """0 0.0 0.1 0.27.0 0.39.0 0.39.1 0.40 1 1.0 1.0.0 1.1 1.10 1.15.0 1.2 1.7 1.7.0 1.7.1 1.7.post1 1.7.0.post2
1.7+cpu 1.7.0+cu121 1.7.1+cu121 2 2.0 2.0rc1 2.0.rc1 2.0-rc.1 2.0a1 2.0b2 2.0.dev1 2.0a1.dev3 2.0rc1.post2 2.0.post1.dev2
2.1 2.2 2.2.0 2.2.1 2.2.post3 2.2a1 2.11.0 2.11.0+cu130 1!0.5 1!1.0 2!0 v1.0 V2.0 1.0alpha 1.0ALPHA1 1.0.preview2 1.0c3
1.0-1 1.0.r4 1.0_post5 1.0dev 1.0+ubuntu.1 1.0+ubuntu-2 1.0+UBUNTU_10 1.0+abc.5 1.0+5.abc 1.0+1 99 20240101.1
1.0a. 1.0a-1 1.0a_2 1.0post 1.0.post. 1.0a1-1 1..0 1.0. .1 1.a a 1.0+ 1.0+a..b 1.0x 1!!0 1.0-a-b 1.0+a+b
18446744073709551615 0.50.2 1.0rc 1.0.0rc0""".split() + ["", " 1.0 ", "1 .0"]

CONSTRAINTS = """==1.0 ==1.0.0 ==1.7 ==1.7.* ==1.* ==2.2.* !=1.7 !=1.7.* !=2.* >=0.39.0 >=0.27 >0.27.0 >99 <2.0 <2 <2.0rc2 <=1.7
<=1.7.post1 >1.7 >1.7.0 >1.7.post1 >=1.7+cpu ==1.7+cpu !=1.7+cpu ==1.7.0+cu121 ~=1.7 ~=1.7.0 ~=2.2.post3 ~=2.2a1 ~=1 ~=1.0rc1
<1.0 >=2.0a1 >=2.0.dev0 ==2.0rc1 <2.0.dev5 >1.0 <1!1.0 ==1!0.* >=1!0.5 ==0.* >2.0rc1 <2.0.post1 <=2.0 >=1.0,<2 >=1.0,!=1.7,<3
~=1.7,!=1.7.1 >=0.39.0,<1.0,!=0.40 ==1.* , <1.7,>=1.0, =1.0 1.0 ~1.0 ==1.0.*.* ==1.0a1.* >=1.* <1.0+cpu ~=1.0+cpu ==*
==1.0+ubuntu.* >1.7+cpu""".split() + ["", " >= 1.0 , < 2 ", "== 1.0", ">=1.0 <2", "==1.0 .*"]


def random_version(r):
    text = r.choice(["", "", "", "1!"]) + ".".join(str(r.choice([0, 1, 2, 7, 10])) for _ in range(r.randint(1, 4)))
    text += r.choice(["", "", "", "a1", "b2", "rc1", ".rc3"])
    text += r.choice(["", "", "", ".post1", "-2", ".post0"])
    text += r.choice(["", "", "", ".dev1", ".dev0"])
    return text + r.choice(["", "", "", "+cpu", "+cu.12"])


def random_constraint(r):
    one = lambda: r.choice(["==", "!=", "<", "<=", ">", ">=", "~="]) + random_version(r) + r.choice(["", "", "", ".*"])
    return ",".join(one() for _ in range(r.choice([1, 1, 1, 2, 3])))


def parsed(kind, text):
    try:
        return kind(text)
    except (InvalidVersion, InvalidSpecifier):
        return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int)
    seed = arguments.parse_args().seed
    versions, constraints = VERSIONS, CONSTRAINTS
    if seed is not None:
        r = random.Random(seed)
        versions = sorted({random_version(r) for _ in range(120)})
        constraints = sorted({random_constraint(r) for _ in range(120)})
    good = {text: Version(text) for text in versions if parsed(Version, text) is not None}
    out = {
        "packaging": packaging.__version__,
        "versions": [[text, text in good] for text in versions],
        "order": [[a, b, (good[a] > good[b]) - (good[a] < good[b])] for a, b in itertools.combinations(good, 2)],
        "constraints": [],
    }
    for text in constraints:
        specifier = parsed(SpecifierSet, text)
        allowed = None
        if specifier is not None:
            allowed = [v for v, version in good.items() if specifier.contains(version, prereleases=True)]
        out["constraints"].append([text, allowed])
    print(json.dumps(out, separators=(",", ":")))


if __name__ == "__main__":
    main()
