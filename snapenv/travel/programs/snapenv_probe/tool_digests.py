"""What tools write into environments: the digests of ``tools``, by the file's name.

Collected from environments that they made: venv of Python 3.8 to 3.13, virtualenv 20.0 to 21.15,
uv 0.1 to 0.13, setuptools, and Python's own README.txt.
"""

from __future__ import annotations

import re

DIGESTS = frozenset(
    re.findall(
        r"\b[0-9a-f]{16}\b",
        """
        Activate.ps1
        bbaba8901c96a544 d55f0833c1eb197d d648b7cac172cb99
        README.txt
        cba8fece8f62c363
        _virtualenv.pth
        69ac3d8f27e679c8
        _virtualenv.py
        0c55cffe23aa0c81 14f84cf49a809411 19f66c9cbd635368 2bae80f41cdca81b 5298a48c100ec20e
        88a22b40cd5104c8 8e7dc3bf5d42c066 989da9fa5ca3e788 a0838f6e48fbc30f e85bb8d80b3c4c0c
        f1bab7fd43c9bc96 f9d4efd049a58603
        activate
        018654ff9a052212 1aace119d978cd54 283c541f26b33ae6 2afd33f9916a7b1a 4ae6df0bbb47558c
        4de55c88198a0a24 51646469803ec4f3 6fd6b5202ebe08d7 76f310c3116cd4e4 7cc3b662f515a120
        82d2e20b0ad1c797 8b4040983b11aecd 9a851dbd91e28388 9acee465f6911e15 a0228a12d4ccf212
        ba3ef77a7fcb5cfd ca768dfff1c22a37 ca841ecac8d982c9 dbe810028adb6f54 f36de8d25951641f
        activate.bat
        19bb12ecd84c77e0 2f6443a558140cbe 34fa3917911be1eb bbb9cb22232fe091
        activate.csh
        484f2c99d80fcc49 4e0cbb2bb1ea8a83 5d9b2420aba95b7d 6600cfdd3ff170bd 841e9da1c0d24455
        99e7dcecd260ae61 9a586b898d481b70 a0b5ebcc151af449 e56340112e7c374c e67eefdfa5b9544f
        ee8980996f7f547d
        activate.fish
        0e3068890e7f235d 126b9d25f98ada87 14e66891982bb834 33914016b20f3213 39387b40343bc22c
        448a6c7507c82739 4819b2f45564c4fa 609b47fb05781980 664221745e1af4bc 800acba36dd6eb67
        850e931385a31606 853c3c76940cd9da 8ba413122621a504 999d45ff8741d6e8 e57f2fcfdf223b57
        ef4137fc6e0a5c88 fb98c104a6fee88a
        activate.nu
        0af8488022ea77ef 34b91ab4301b540e 4bd54b0c6e69609c 4e887861676d1e78 5d4b2b549ebe84b7
        72b7e18e4cfb8d95 75d98f802ce05761 7868da433955b275 7ed4c125a76d5cc7 803dbaa077ece757
        923a744e8f43083a 99d0b9fb36801e06 9ba01a07d0cf575e c73b46d74037c271 cc5f8e73f772ae19
        f5fcdccbbb0e34ee f83b5acbc3f32037
        activate.ps1
        14c26eb2b29592af 241d229fd4edd340 25e0f9c824448181 3d582b8840b05a5c 742c8804a9f272fc
        95aafa5f8ab2c8c6 b352ba2e3a1b50c4 beb30d82bd524b42 e1f2dada08599428 e376d9b656ac745c
        feede4d00a2d332e
        activate.xsh
        421c62605ac0ee71 be077cebc0eb5ef4 fe7cdeca5020ebac
        activate_this.py
        044425f37b9d533f 11f6dd1bb119abc9 137ea4e3400f7f5a 357408179d661587 4321361f8525536d
        6ee7b4044546cabe 6fff7bfab033b6a9 73f9061a7626866e 82c4f076e887b9e8 fe98bbf57213a8ef
        deactivate.bat
        1c0dbe33b6c64236 4dc00d617dad07f6
        deactivate.csh
        81206ce0690c5443
        deactivate.nu
        52cfb36f9c85abce d7d18998bcc7318c f44d42d4093d4572
        distutils-precedence.pth
        78342ec5e9842111
        pydoc.bat
        a88dcc396c6aed4b c08a90aaa9fccf8f e7c4b25978a00b19
    """,
    )
)
