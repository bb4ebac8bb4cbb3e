"""ViTs of timm, one of each kind in its registry: equal to timm, or refused in one line, with config.json and without.

The whole registry takes minutes: ``python tests/performance/timm_registry.py``; docs/checkpoints.md has its counts.
"""

import pytest
from timm_sweep import counted, outcomes

#: One architecture of each set of names and facts among timm's; those of an issue that was filed are here by name.
SAMPLE = [
    "vit_base_patch16_clip_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_base_patch16_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_base_patch32_siglip_gap_256",
    "vit_base_patch16_siglip_224",
    "vit_base_patch32_siglip_256",
    "aimv2_large_patch14_224",
    "vit_wee_patch16_reg1_gap_256",
    "vit_base_patch14_reg1_tipsv2",
    "vit_giant_patch14_reg1_tipsv2",
    "vit_small_patch14_reg4_dinov2",
    "deit3_base_patch16_224",
    "vit_small_patch14_dinov2",
    "eva02_tiny_patch14_224",
    "eva_giant_patch14_224",
    "vit_base_patch16_dinov3_qkvb",
    "vit_giant_patch16_lingbot",
    "beit_base_patch16_224",
    "beit3_base_patch16_224",
    "vit_medium_patch16_gap_256",
    "vit_giant_patch16_radio_v3",
    "eva02_base_patch14_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_pe_spatial_tiny_patch16_512",
    "deit_tiny_distilled_patch16_224",
    "flexivit_small",
    "vit_base_patch16_xp_224",
    "vit_so150m2_patch16_reg1_gap_256",
    "eva02_base_patch16_clip_224",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_ape_224",
    "vit_small_patch16_rope_mixed_224",
    "vit_betwixt_patch16_rope_reg4_gap_256",
    "vit_mediumd_patch16_rope_reg1_gap_256",
    "eva_large_patch14_196",
    "vit_small_patch16_18x2_224",
    "vit_dwee_patch16_reg1_gap_256",
    "vit_so150m_patch16_reg4_gap_256",
    "eva02_enormous_patch14_clip_224",
    "eva_giant_patch14_clip_224",
    "vit_base_patch16_224_miil",
    "vit_base_patch16_rpn_224",
    "vit_intern300m_patch14_448",
    "vit_pwee_patch16_reg1_gap_256",
    "vit_base_patch16_sapiens2",
    "naflexvit_base_patch16_gap",
    "naflexvit_base_patch16_siglip",
    "vit_relpos_small_patch16_224",
]


@pytest.mark.parametrize(("alone", "supported"), [(False, len(SAMPLE)), (True, 13)])
def test_every_kind_of_vit_in_timm_is_equal_or_refused(alone, supported, tmp_path):
    found = list(outcomes(tmp_path / "x", SAMPLE, alone))
    print("alone" if alone else "with config.json", dict(counted(found)))
    assert [one for one in found if one.verdict == "wrong"] == []
    assert len([one for one in found if one.verdict == "equal"]) >= supported
    refusals = [one.detail for one in found if one.verdict == "refused"]
    assert all("\n" not in line and len(line) < 700 for line in refusals)
