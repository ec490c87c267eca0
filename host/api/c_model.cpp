// The C functions on models, over the C++ API.
#include "host/api/c_support.hpp"

namespace quanthost::api {

LoadOptions load_options_of(const quanthost_load_options* theirs) {
  const quanthost_load_options o = read_options(theirs, "quanthost_load_options");
  refuse_unknown_flags(o.flags, QUANTHOST_LOAD_NO_MAPPED_FILES | QUANTHOST_LOAD_KEEP_SMALL_TYPES,
                       "quanthost_load_options");
  LoadOptions out;
  out.map_files = !(o.flags & QUANTHOST_LOAD_NO_MAPPED_FILES);
  out.keep_small_types = o.flags & QUANTHOST_LOAD_KEEP_SMALL_TYPES;
  out.method = text_or(o.method);
  for (std::uint64_t i = 0; i < o.setting_count; ++i) {
    const quanthost_setting& setting = (&need(o.settings, "settings"))[i];
    out.settings.emplace_back(need_text(setting.name, "the name of a setting"),
                              need_text(setting.value, "the value of a setting"));
  }
  out.quantization_file = text_or(o.quantization_file);
  out.device_map = text_or(o.device_map);
  out.max_memory = text_or(o.max_memory);
  out.dtype = text_or(o.dtype, "auto");
  out.max_queue_bytes = o.max_queue_bytes;
  out.offload_folder = text_or(o.offload_folder);
  out.progress = progress_callback(o.progress, o.progress_user);
  if (o.cancel) out.cancel = o.cancel->source;
  return out;
}

SaveOptions save_options_of(const quanthost_save_options* theirs) {
  const quanthost_save_options o = read_options(theirs, "quanthost_save_options");
  refuse_unknown_flags(o.flags, 0, "quanthost_save_options");
  SaveOptions out;
  if (o.max_shard_bytes > 0) out.max_shard_bytes = o.max_shard_bytes;
  out.progress = progress_callback(o.progress, o.progress_user);
  if (o.cancel) out.cancel = o.cancel->source;
  return out;
}

namespace {

GenerateOptions generate_options_of(const quanthost_generate_options* theirs) {
  const quanthost_generate_options o = read_options(theirs, "quanthost_generate_options");
  refuse_unknown_flags(o.flags, 31, "quanthost_generate_options");
  GenerateOptions out;
  if (o.max_new_tokens > 0) out.max_new_tokens = o.max_new_tokens;
  out.greedy = o.flags & QUANTHOST_GENERATE_GREEDY;
  if (o.flags & QUANTHOST_GENERATE_HAS_TEMPERATURE) out.temperature = o.temperature;
  if (o.flags & QUANTHOST_GENERATE_HAS_TOP_K) out.top_k = o.top_k;
  if (o.flags & QUANTHOST_GENERATE_HAS_TOP_P) out.top_p = o.top_p;
  if (o.flags & QUANTHOST_GENERATE_HAS_REPETITION_PENALTY)
    out.repetition_penalty = o.repetition_penalty;
  out.seed = o.seed;
  for (std::uint64_t i = 0; i < o.stop_count; ++i)
    out.stop.push_back(need_text((&need(o.stop, "stop"))[i], "an entry of stop"));
  if (o.on_text) {
    out.on_text = [fn = o.on_text, user = o.on_text_user](std::string_view text,
                                                          std::int64_t token) {
      return fn(user, text.data(), text.size(), token) == 0;
    };
  }
  if (o.cancel) out.cancel = o.cancel->source;
  return out;
}

void write_generation(quanthost_generation* result, const Generation& generation) {
  if (!result) return;
  write_result(result,
               {0, static_cast<int32_t>(generation.stop_reason), generation.prompt_tokens,
                static_cast<int64_t>(generation.tokens.size()), generation.prefill_seconds,
                generation.decode_seconds},
               "quanthost_generation");
}

}  // namespace
}  // namespace quanthost::api

using namespace quanthost;
using namespace quanthost::api;

extern "C" {

quanthost_status quanthost_model_load(quanthost_host* host, const char* model_folder,
                                      const quanthost_load_options* options, quanthost_model** out,
                                      quanthost_error** error) {
  return c_call(error, [&] {
    quanthost_model*& handle = need(out, "out");
    handle = nullptr;
    handle = new quanthost_model{
        need(host, "host")
            .host.load(need_text(model_folder, "model_folder"), load_options_of(options))};
  });
}

quanthost_status quanthost_quantize(quanthost_host* host, const char* model_folder,
                                    const char* out_folder, const quanthost_load_options* options,
                                    const quanthost_save_options* save, quanthost_error** error) {
  return c_call(error, [&] {
    need(host, "host")
        .host.quantize(need_text(model_folder, "model_folder"), need_text(out_folder, "out_folder"),
                       load_options_of(options), save_options_of(save));
  });
}

void quanthost_model_free(quanthost_model* model) { delete model; }

quanthost_status quanthost_model_describe(quanthost_model* model, quanthost_model_info_fn fn,
                                          void* user, quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    const ModelInfo i = need(model, "model").model.info();
    const quanthost_model_info info{sizeof(quanthost_model_info),
                                    i.serializable,
                                    i.source.c_str(),
                                    i.architecture.c_str(),
                                    i.method.c_str(),
                                    i.plugin.c_str(),
                                    i.dtype.c_str(),
                                    i.device_map.c_str(),
                                    i.model_bytes,
                                    i.bytes_read,
                                    i.load_seconds,
                                    i.trainable,
                                    0};
    fn(user, &info);
  });
}

quanthost_status quanthost_model_encode(quanthost_model* model, const char* text, uint32_t flags,
                                        quanthost_tokens_fn fn, void* user,
                                        quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    refuse_unknown_flags(flags, QUANTHOST_TOKENS_PLAIN, "quanthost_model_encode");
    const auto ids = need(model, "model")
                         .model.encode(need_text(text, "text"), !(flags & QUANTHOST_TOKENS_PLAIN));
    fn(user, ids.data(), ids.size());
  });
}

quanthost_status quanthost_model_decode(quanthost_model* model, const int64_t* tokens,
                                        uint64_t count, uint32_t flags, quanthost_text_fn fn,
                                        void* user, quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    refuse_unknown_flags(flags, QUANTHOST_TOKENS_PLAIN, "quanthost_model_decode");
    if (count > 0) need(tokens, "tokens");
    const std::string text =
        need(model, "model").model.decode({tokens, tokens + count}, flags & QUANTHOST_TOKENS_PLAIN);
    fn(user, text.data(), text.size());
  });
}

quanthost_status quanthost_model_generate(quanthost_model* model, const char* prompt,
                                          const quanthost_generate_options* options,
                                          quanthost_generation* result, quanthost_error** error) {
  return c_call(error, [&] {
    write_generation(
        result, need(model, "model")
                    .model.generate(need_text(prompt, "prompt"), generate_options_of(options)));
  });
}

quanthost_status quanthost_model_generate_tokens(quanthost_model* model, const int64_t* prompt,
                                                 uint64_t count,
                                                 const quanthost_generate_options* options,
                                                 quanthost_generation* result,
                                                 quanthost_error** error) {
  return c_call(error, [&] {
    if (count > 0) need(prompt, "prompt");
    const std::vector<std::int64_t> ids(prompt, prompt + count);
    write_generation(result,
                     need(model, "model").model.generate(ids, generate_options_of(options)));
  });
}

quanthost_status quanthost_model_chat(quanthost_model* model,
                                      const quanthost_chat_message* messages,
                                      uint64_t message_count,
                                      const quanthost_generate_options* options,
                                      quanthost_generation* result, quanthost_error** error) {
  return c_call(error, [&] {
    std::vector<ChatMessage> chat;
    for (std::uint64_t i = 0; i < message_count; ++i) {
      const quanthost_chat_message& message = (&need(messages, "messages"))[i];
      chat.push_back({need_text(message.role, "the role of a message"),
                      need_text(message.content, "the content of a message")});
    }
    write_generation(result,
                     need(model, "model").model.generate(chat, generate_options_of(options)));
  });
}

quanthost_status quanthost_model_forward(quanthost_model* model,
                                         const quanthost_named_tensor* inputs, uint64_t input_count,
                                         DLManagedTensorVersioned** out, quanthost_error** error) {
  return c_call(error, [&] {
    need(out, "out") = nullptr;
    std::vector<NamedDlpack> named;
    for (std::uint64_t i = 0; i < input_count; ++i) {
      const quanthost_named_tensor& input = (&need(inputs, "inputs"))[i];
      named.push_back({&need(input.name, "the name of an input"), input.tensor});
    }
    *out = need(model, "model").model.forward_dlpack(named);
  });
}

quanthost_status quanthost_model_save(quanthost_model* model, const char* directory,
                                      const quanthost_save_options* options,
                                      quanthost_error** error) {
  return c_call(error, [&] {
    need(model, "model").model.save(need_text(directory, "directory"), save_options_of(options));
  });
}

quanthost_status quanthost_model_dequantize(quanthost_model* model, const char* dtype,
                                            quanthost_error** error) {
  return c_call(error, [&] { need(model, "model").model.dequantize(text_or(dtype)); });
}

}  // extern "C"
