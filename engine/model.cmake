# SPDX-License-Identifier: Apache-2.0
set(ENGINE_MODEL_SOURCES
  model.c model_pack.c rope.c
  arch_llama.c arch_smollm3.c arch_qwen2.c arch_qwen3.c arch_gemma2.c arch_gemma3.c arch_phi3.c
  arch_bert.c arch_nomic_bert.c
  forward.c forward_attention.c forward_encoder.c
  kv_cache.c sampler.c sampler_cut.c stop_match.c fair_share.c speculate.c
  generation.c scheduler.c step.c prompt.c digest.c embed.c
  constraint_cache.c engine.c)
