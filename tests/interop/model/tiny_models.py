"""Tiny random models of every supported family, made by transformers, and what transformers computes with them."""

import torch
import transformers

SMALL = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=None)
GROUPED = dict(SMALL, num_key_value_heads=2)
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}
WINDOW = 5


def _small(**changes):
    return {key: value for key, value in dict(SMALL, **changes).items() if value != "absent"}


# name: (config class, model class, config)
VARIANTS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", dict(GROUPED, tie_word_embeddings=False)),
    "llama_tied_bias": ("LlamaConfig", "LlamaForCausalLM",
                        dict(GROUPED, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=12,
                             rope_parameters=LLAMA3)),
    "llama_linear": ("LlamaConfig", "LlamaForCausalLM",
                     dict(GROUPED, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0})),
    "llama_dynamic": ("LlamaConfig", "LlamaForCausalLM",
                      dict(GROUPED, max_position_embeddings=8,
                           rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0})),
    "llama_bare": ("LlamaConfig", "LlamaModel", dict(GROUPED)),
    "mistral": ("MistralConfig", "MistralForCausalLM", dict(GROUPED, sliding_window=WINDOW)),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM",
                dict(GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=None, intermediate_size=24)),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM",
              dict(GROUPED, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1)),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", dict(GROUPED, head_dim=16)),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM",
               dict(GROUPED, head_dim=8, sliding_window=WINDOW, query_pre_attn_scalar=24,
                    attn_logit_softcapping=5.0, final_logit_softcapping=3.0)),
    "phi3": ("Phi3Config", "Phi3ForCausalLM",
             dict(GROUPED, original_max_position_embeddings=128, sliding_window=None,
                  rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM",
                 dict(SMALL, rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                              "partial_rotary_factor": 0.5})),
    "gpt_neox_serial": ("GPTNeoXConfig", "GPTNeoXForCausalLM",
                        dict(SMALL, use_parallel_residual=False, attention_bias=False)),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel",
             dict(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=None,
                  pad_token_id=0, scale_attn_by_inverse_layer_idx=True)),
    "opt": ("OPTConfig", "OPTForCausalLM",
            _small(intermediate_size="absent", ffn_dim=48, word_embed_proj_dim=32)),
    "opt_post_norm": ("OPTConfig", "OPTForCausalLM",
                      _small(intermediate_size="absent", ffn_dim=48, word_embed_proj_dim=16,
                             do_layer_norm_before=False)),
    "bert": ("BertConfig", "BertForMaskedLM", dict(SMALL)),
    "bert_bare": ("BertConfig", "BertModel", dict(SMALL)),
    "vit": ("ViTConfig", "ViTForImageClassification",
            dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16,
                 patch_size=4, num_labels=5)),
    "vit_bare": ("ViTConfig", "ViTModel",
                 dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16,
                      patch_size=8)),
}


def _attention(name):
    return "eager" if name.startswith("gemma2") else "sdpa"  # sdpa leaves out Gemma's soft cap


def load(name, folder, dtype):
    """As users do. Unlike model.to(dtype), it keeps the rotary frequencies in float32."""
    model_class = getattr(transformers, VARIANTS[name][1])
    return model_class.from_pretrained(folder, dtype=dtype, attn_implementation=_attention(name)).eval()


def make(name, seed=0, dtype=torch.float32):
    """A model whose weights are large enough that every part of the architecture shows in the result."""
    config_class, model_class, config = VARIANTS[name]
    config = getattr(transformers, config_class)(**config, attn_implementation=_attention(name))
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            is_norm = parameter.dim() == 1 and key.endswith("weight") and "gemma" not in name
            parameter.copy_(1.0 + noise if is_norm else noise)
    model.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.eos_token_id = None
    return model.to(dtype)


def is_vision(name):
    return name.startswith("vit")


def is_causal(name):
    return not name.startswith(("vit", "bert")) and not name.endswith("bare")


def inputs(name, seed=0, batch=2, tokens=12):
    generator = torch.Generator().manual_seed(1000 + seed)
    if is_vision(name):
        return {"pixel_values": torch.randn(batch, 3, 16, 16, generator=generator)}
    return {"input_ids": torch.randint(2, 64, (batch, tokens), generator=generator)}


def output(model, **arguments):
    """Logits of a model with a head, else the last hidden state."""
    with torch.inference_mode():
        result = model(**arguments)
    return result.logits if "logits" in result else result.last_hidden_state


def generate(model, ids, count=64, attention_mask=None):
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=mask, max_new_tokens=count, do_sample=False, use_cache=True)
    return out[:, ids.shape[1]:]


def left_padded(ids, padding):
    """The same rows, the first `padding[row]` tokens of each put out of sight."""
    mask = torch.ones_like(ids)
    ids = ids.clone()
    for row, count in enumerate(padding):
        mask[row, :count] = 0
        ids[row, :count] = 0
    return ids, mask
