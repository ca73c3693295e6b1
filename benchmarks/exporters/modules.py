"""Build the modules that every exporter is given: ten architectures, small, with seeded random weights.

Only shapes and operators matter here, so that nothing is downloaded. Each module takes and returns plain tensors; a
cache goes in and out as tensors too, as a runtime feeds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

__all__ = ["MODULES", "Module", "build"]

LAYERS, HEADS, WIDTH, VOCABULARY = 3, 8, 256, 1000
KEY_HEADS = 2
"""Heads of keys and values of the Llama: four heads of queries share one."""

TOKENS, PAST = 16, 24


@dataclass(frozen=True)
class Module:
    """A module in inference mode, its inputs by name, the names of its outputs, and which axes of inputs vary."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]


class Encoder(nn.Module):
    """A BERT whose only result is the last hidden state."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return [batch, tokens, width]."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(nn.Module):
    """A causal language model whose cache goes in and out as keys and values of each layer."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Return logits and the grown cache; `attention_mask` is [batch, past + tokens]."""
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
        grown = [tensor for layer in found.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return found.logits, *grown


class Translator(nn.Module):
    """A T5 that sees source and target at once, without a cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor) -> Tensor:
        """Return logits [batch, target tokens, vocabulary]."""
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False
        ).logits


def _vision(model: nn.Module, batch: int, size: int) -> Module:
    return Module(model, {"image": torch.randn(batch, 3, size, size)}, ("logits",), {"image": {0: "batch"}})


def _resnet(batch: int) -> Module:
    return _vision(models.resnet18(weights=None), batch, 128)


def _mobilenet(batch: int) -> Module:
    return _vision(models.mobilenet_v3_small(weights=None), batch, 128)


def _efficientnet(batch: int) -> Module:
    return _vision(models.efficientnet_b0(weights=None), batch, 128)


def _vit(batch: int) -> Module:
    model = models.VisionTransformer(
        image_size=96, patch_size=16, num_layers=LAYERS, num_heads=HEADS, hidden_dim=WIDTH, mlp_dim=4 * WIDTH
    )
    return _vision(model, batch, 96)


def _swin(batch: int) -> Module:
    model = models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=64,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[7, 7],
        stochastic_depth_prob=0.0,
    )
    return _vision(model, batch, 112)


def _convnext(batch: int) -> Module:
    return _vision(models.ConvNeXt([CNBlockConfig(48, 96, 2), CNBlockConfig(96, None, 2)]), batch, 96)


def _tokens(names: tuple[str, ...], batch: int, mask: int) -> tuple[dict[str, Tensor], dict[str, dict[int, str]]]:
    """Return inputs [batch, tokens] by name, `attention_mask` being `mask` wide, and their axes."""
    inputs: dict[str, Tensor] = {}
    axes: dict[str, dict[int, str]] = {}
    for name in names:
        if name == "attention_mask":
            inputs[name] = torch.ones(batch, mask, dtype=torch.int64)
            axes[name] = {0: "batch", 1: "tokens" if mask == TOKENS else "total"}
        else:
            inputs[name] = torch.randint(3, VOCABULARY, (batch, TOKENS))
            axes[name] = {0: "batch", 1: "target" if name.startswith("decoder") else "tokens"}
    return inputs, axes


def _bert(batch: int) -> Module:
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=64,
    )
    inputs, axes = _tokens(("input_ids", "attention_mask"), batch, TOKENS)
    return Module(Encoder(BertModel(config, add_pooling_layer=False)), inputs, ("hidden",), axes)


def _cached(model: PreTrainedModel, batch: int, heads: int) -> Module:
    inputs, axes = _tokens(("input_ids", "attention_mask"), batch, PAST + TOKENS)
    outputs = ["logits"]
    for layer in range(LAYERS):
        for kind in ("key", "value"):
            name = f"past_{layer}_{kind}"
            inputs[name] = torch.randn(batch, heads, PAST, WIDTH // HEADS)
            axes[name] = {0: "batch", 2: "past"}
            outputs.append(f"present_{layer}_{kind}")
    return Module(Decoder(model), inputs, tuple(outputs), axes)


def _gpt(batch: int) -> Module:
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=128, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS)
    return _cached(GPT2LMHeadModel(config), batch, HEADS)


def _llama(batch: int) -> Module:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=128,
    )
    return _cached(LlamaForCausalLM(config), batch, KEY_HEADS)


def _t5(batch: int) -> Module:
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=3 * WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        decoder_start_token_id=0,
    )
    inputs, axes = _tokens(("input_ids", "attention_mask", "decoder_input_ids"), batch, TOKENS)
    return Module(Translator(T5ForConditionalGeneration(config)), inputs, ("logits",), axes)


MODULES: dict[str, Callable[[int], Module]] = {
    "resnet": _resnet,
    "mobilenet_v3": _mobilenet,
    "efficientnet": _efficientnet,
    "vit": _vit,
    "swin": _swin,
    "convnext": _convnext,
    "bert": _bert,
    "gpt": _gpt,
    "llama": _llama,
    "t5": _t5,
}
"""What builds each module, by its name."""


def build(name: str, batch: int, seed: int = 0) -> Module:
    """Return a module in inference mode; one seed gives the same weights and inputs each time."""
    torch.manual_seed(seed)
    made = MODULES[name](batch)
    made.module.eval()
    for tensor in made.module.state_dict().values():
        # What starts as all zeros or ones in no trained module stays so, and must not be simplified away here.
        if tensor.is_floating_point() and bool(tensor.min() == tensor.max()):
            tensor.add_(torch.rand_like(tensor) * 0.2)
    return made
