from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import ArchSpec, StageSpec
from nas.errors import InvalidInputError
from nas.models import build_model, get_arch
from nas.models.weights import export_weights, inherit_weights, named_weights
from tests.models.weights.peers import TINY, logits, randomise, same, snapshot
from tests.strategies import arch_specs


def trained(spec, num_classes=3, in_channels=3):
    model = build_model(spec, num_classes, in_channels)
    randomise(model)
    return model


def with_stage(spec, index, **changes):
    stages = list(spec.stages)
    stages[index] = replace(stages[index], **changes)
    return replace(spec, stages=tuple(stages))


@settings(max_examples=25, deadline=None)
@given(arch_specs(max_channels=12, max_layers=2), st.booleans())
def test_equal_networks_inherit_everything(spec, zero_init_extra):
    source, model = trained(spec), build_model(spec, 3)
    report = inherit_weights(model, source, zero_init_extra=zero_init_extra)
    assert same(snapshot(model), snapshot(source))
    assert (report.num_full, report.num_partial, report.num_untouched) == (len(model.state_dict()), 0, 0)
    assert (report.inherited_fraction, report.zeroed) == (1.0, ())


@settings(max_examples=40, deadline=None)
@given(*(arch_specs(max_channels=10, max_layers=3),) * 2, *(st.integers(1, 4),) * 4, st.booleans())
def test_any_network_inherits_from_any_other(spec, other, classes, other_classes, channels, other_channels, zero):
    """Shapes stay, the source stays, counts add up, and doing it twice changes nothing more."""
    model, source = build_model(spec, classes, channels), trained(other, other_classes, other_channels)
    before, given_weights = snapshot(model), snapshot(source)
    report = inherit_weights(model, source, zero_init_extra=zero)
    after = snapshot(model)
    assert {name: t.shape for name, t in after.items()} == {name: t.shape for name, t in before.items()}
    assert same(snapshot(source), given_weights)
    assert report.num_full + report.num_partial + report.num_untouched == len(after)
    assert 0 < report.inherited_fraction <= 1
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert len(changed) <= report.num_full + report.num_partial + 2 * len(report.zeroed)
    assert inherit_weights(model, source, zero_init_extra=zero) == report
    assert same(snapshot(model), after)


@settings(max_examples=40, deadline=None)
@given(arch_specs(max_channels=12, max_layers=2), st.data())
def test_a_deeper_network_computes_the_same_function(spec, data):
    deeper = spec
    for index, stage in enumerate(spec.stages):
        deeper = with_stage(deeper, index, num_layers=stage.num_layers + data.draw(st.integers(0, 2)))
    source, model = trained(spec), build_model(deeper, 3)
    report = inherit_weights(model, source, zero_init_extra=True)
    assert len(report.zeroed) == deeper.num_blocks - spec.num_blocks
    assert logits(model).equal(logits(source))


def test_without_zero_init_extra_blocks_keep_their_initial_values():
    source, model = trained(TINY), build_model(with_stage(TINY, 2, num_layers=4), 3)
    before = snapshot(model)
    report = inherit_weights(model, source)
    extra = [name for name in before if name.startswith(("features.3.2.", "features.3.3."))]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in extra)
    assert (report.num_untouched, report.num_partial) == (len(extra), 0)
    assert not logits(model).equal(logits(source))


def test_zeroed_blocks_learn():
    model = build_model(with_stage(TINY, 2, num_layers=3), 3, stochastic_depth=0.0)
    report = inherit_weights(model, trained(TINY), zero_init_extra=True)
    assert report.zeroed == ("features.3.2.block.3.1",)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert model.get_parameter("features.3.2.block.3.1.weight").grad.abs().max() > 0


def test_a_larger_kernel_computes_the_same_function():
    spec = with_stage(with_stage(TINY, 1, kernel_size=5), 2, kernel_size=7)
    source, model = trained(TINY), build_model(spec, 3)
    report = inherit_weights(model, source)
    torch.testing.assert_close(logits(model), logits(source), rtol=1e-4, atol=1e-4)
    assert report.num_partial == 4
    assert report.num_untouched == 0


def test_a_smaller_kernel_is_the_centre_of_the_larger():
    source, model = trained(with_stage(TINY, 2, kernel_size=5)), build_model(TINY, 3)
    report = inherit_weights(model, source)
    name = "features.3.1.block.1.0.weight"
    assert torch.equal(model.state_dict()[name], source.state_dict()[name][..., 1:4, 1:4])
    assert report.inherited_fraction == 1.0


def test_a_wider_network_inherits_the_first_channels_with_their_statistics():
    source, model = trained(TINY), build_model(with_stage(TINY, 2, out_channels=40), 3)
    before = snapshot(model)
    report = inherit_weights(model, source)
    after, theirs = model.state_dict(), source.state_dict()
    norm, squeeze, last = "features.3.1.block.1.1.running_var", "features.3.1.block.2.fc1.weight", "features.4.0.weight"
    assert torch.equal(after[norm][:96], theirs[norm])
    assert torch.equal(after[norm][96:], before[norm][96:])
    assert torch.equal(after[squeeze][:6, :96], theirs[squeeze])
    assert torch.equal(after[squeeze][6:], before[squeeze][6:])
    assert torch.equal(after[last][:, :24], theirs[last])
    assert torch.equal(after[last][:, 24:], before[last][:, 24:])
    inherited = sum(p.numel() for p in source.parameters())
    assert report.inherited_fraction == pytest.approx(inherited / sum(p.numel() for p in model.parameters()))


def test_blocks_of_another_kind_share_what_has_the_same_role():
    source = trained(with_stage(TINY, 2, block="fused"))
    model = build_model(TINY, 3)
    before = snapshot(model)
    inherit_weights(model, source)
    after, theirs = model.state_dict(), source.state_dict()
    assert torch.equal(after["features.3.1.block.2.fc1.weight"], theirs["features.3.1.block.1.fc1.weight"])
    assert torch.equal(after["features.3.1.block.3.0.weight"], theirs["features.3.1.block.2.0.weight"])
    assert torch.equal(after["features.3.1.block.3.1.running_mean"], theirs["features.3.1.block.2.1.running_mean"])
    for layer in ("0.0", "1.0"):
        assert torch.equal(after[f"features.3.1.block.{layer}.weight"], before[f"features.3.1.block.{layer}.weight"])


def test_other_classes_and_channels():
    source, model = trained(TINY, 5, 3), build_model(TINY, 4, 1)
    before = snapshot(model)
    report = inherit_weights(model, source)
    after, theirs = model.state_dict(), source.state_dict()
    assert torch.equal(after["classifier.1.weight"], before["classifier.1.weight"])
    assert torch.equal(after["features.0.0.weight"], theirs["features.0.0.weight"].sum(1, keepdim=True))
    assert (report.num_partial, report.num_untouched) == (0, 2)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_weights_with_their_spec_serve_as_well_as_a_network(tmp_path, layout):
    source, spec = trained(TINY), with_stage(TINY, 2, num_layers=3, out_channels=32)
    torch.manual_seed(0)
    first = build_model(spec, 3)
    torch.manual_seed(0)
    second, third = build_model(spec, 3), build_model(spec, 3)
    third.load_state_dict(second.state_dict())
    export_weights(source, tmp_path / "w.safetensors", layout)
    report = inherit_weights(first, source)
    assert inherit_weights(second, (tmp_path / "w.safetensors", TINY)) == report
    assert inherit_weights(third, (named_weights(source, layout), TINY)) == report
    assert same(snapshot(first), snapshot(second))
    assert same(snapshot(first), snapshot(third))


def test_batch_counts_may_be_missing():
    state = {name: t for name, t in trained(TINY).state_dict().items() if not name.endswith("num_batches_tracked")}
    report = inherit_weights(build_model(TINY, 3), (state, TINY))
    assert report.inherited_fraction == 1.0
    assert report.num_untouched == sum(name.endswith("num_batches_tracked") for name in build_model(TINY).state_dict())


@pytest.mark.parametrize("wrong", ["spec", "stem", "classifier"])
def test_weights_that_are_not_the_specs_are_refused(wrong):
    state, model = trained(TINY).state_dict(), build_model(TINY, 3)
    names = {"stem": "features.0.0.weight", "classifier": "classifier.1.weight"}
    if wrong in names:
        state[names[wrong]] = torch.zeros(())
    spec = get_arch("efficientnet_v2_b0") if wrong == "spec" else TINY
    before = snapshot(model)
    with pytest.raises(InvalidInputError, match="of another shape") as caught:
        inherit_weights(model, (state, spec))
    assert "adapt" not in str(caught.value)
    assert same(snapshot(model), before)


def test_the_report_in_one_line():
    source, model = trained(TINY), build_model(with_stage(TINY, 2, num_layers=3), 3)
    report = inherit_weights(model, source, zero_init_extra=True)
    assert str(report) == (
        f"inherited {report.inherited_fraction:.1%} of the parameters "
        f"({report.num_full} tensors in full, 0 in part, 22 not at all); 1 extra blocks start as the identity"
    )


def test_a_network_may_inherit_from_itself():
    spec = ArchSpec(8, (StageSpec("mbconv", 4, 5, 1, 8, 2, 0.25),), 16)
    model = trained(spec)
    before = snapshot(model)
    assert inherit_weights(model, model).inherited_fraction == 1.0
    assert same(snapshot(model), before)


def test_m_inherits_from_s():
    """Two fifths of M are in S, and what M has more starts as the identity but for the added stage."""
    source, model = build_model(get_arch("efficientnet_v2_s")), build_model(get_arch("efficientnet_v2_m"))
    report = inherit_weights(model, source, zero_init_extra=True)
    assert report.inherited_fraction == pytest.approx(0.396, abs=0.001)
    assert len(report.zeroed) == 16
