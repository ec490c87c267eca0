/* Every function of quanthost.h, called from C99: its work, its refusals, and that nothing leaks or
 * is touched after its end (run under AddressSanitizer and valgrind too). */
#include <quanthost/abi.h>
#include <quanthost/quanthost.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int g_failed = 0;
static const char *g_model, *g_plugins, *g_scratch;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      g_failed = 1;                                                             \
    }                                                                           \
  } while (0)

/* The call works; otherwise its story is printed. */
#define WORKS(call)                                                        \
  do {                                                                     \
    quanthost_error* error = NULL;                                         \
    if ((call) != QUANTHOST_OK) {                                          \
      fprintf(stderr, "%s:%d: %s failed: %s\n", __FILE__, __LINE__, #call, \
              quanthost_error_message(error));                             \
      g_failed = 1;                                                        \
    }                                                                      \
    CHECK(error == NULL || g_failed);                                      \
    quanthost_error_free(error);                                           \
  } while (0)

/* The call fails with this kind and a message that has this part. */
#define FAILS(call, expected, part)                                                \
  do {                                                                             \
    quanthost_error* error = NULL;                                                 \
    const quanthost_status status = (call);                                        \
    CHECK(status == (expected));                                                   \
    CHECK(error != NULL && quanthost_error_kind(error) == status);                 \
    if (!strstr(quanthost_error_message(error), (part))) {                         \
      fprintf(stderr, "%s:%d: \"%s\" is not in: %s\n", __FILE__, __LINE__, (part), \
              quanthost_error_message(error));                                     \
      g_failed = 1;                                                                \
    }                                                                              \
    quanthost_error_free(error);                                                   \
  } while (0)

static quanthost_host* open_host(void) {
  quanthost_host_options options = {.struct_size = sizeof options};
  quanthost_host* host = NULL;
  options.flags = QUANTHOST_HOST_NO_CACHE | QUANTHOST_HOST_NO_ISOLATION;
  options.plugin_paths = &g_plugins;
  options.plugin_path_count = 1;
  options.trust = "off";
  WORKS(quanthost_host_create(&options, &host, &error));
  return host;
}

static quanthost_model* open_model(quanthost_host* host, const char* method) {
  quanthost_load_options options = {.struct_size = sizeof options};
  quanthost_model* model = NULL;
  options.method = method;
  WORKS(quanthost_model_load(host, g_model, &options, &model, &error));
  return model;
}

static void library(void) {
  uint32_t major = 99, minor = 99;
  quanthost_abi_version(&major, &minor);
  CHECK(major == QH_ABI_MAJOR && minor == QH_ABI_MINOR);
  quanthost_abi_version(NULL, NULL);
  CHECK(strchr(quanthost_version(), '.') != NULL);
  WORKS(quanthost_set_threads(2, &error));
  FAILS(quanthost_set_threads(0, &error), QUANTHOST_ERR_VALUE, "at least 1");
}

static void errors(void) {
  quanthost_host* host = NULL;
  quanthost_host_options options = {.struct_size = sizeof options};
  quanthost_error* error = NULL;
  CHECK(quanthost_error_kind(NULL) == QUANTHOST_OK);
  CHECK(quanthost_error_message(NULL)[0] == 0 && quanthost_error_remedy(NULL)[0] == 0);
  CHECK(quanthost_error_kind_name(NULL)[0] == 0);
  quanthost_error_free(NULL);

  CHECK(quanthost_host_create(&options, NULL, NULL) == QUANTHOST_ERR_VALUE);
  options.struct_size = 0;
  CHECK(quanthost_host_create(&options, &host, &error) == QUANTHOST_ERR_VALUE);
  CHECK(host == NULL);
  CHECK(strcmp(quanthost_error_kind_name(error), "ValueError") == 0);
  CHECK(strstr(quanthost_error_message(error), "struct_size") != NULL);
  CHECK(strstr(quanthost_error_remedy(error), "sizeof") != NULL);
  quanthost_error_free(error);
  options.struct_size = sizeof options;
  options.flags = 1u << 31;
  FAILS(quanthost_host_create(&options, &host, &error), QUANTHOST_ERR_NOT_IMPLEMENTED, "flags");
  options.flags = 0;
  options.trust = "sometimes";
  FAILS(quanthost_host_create(&options, &host, &error), QUANTHOST_ERR_VALUE, "sometimes");
}

static int32_t count_plugin(void* user, const quanthost_plugin_info* plugin) {
  int* count = user;
  ++*count;
  CHECK(plugin->struct_size == sizeof *plugin);
  if (strcmp(plugin->id, "org.example.absmax8") == 0) {
    CHECK(strcmp(plugin->state, "ok") == 0);
    CHECK(plugin->method_count == 1 && strcmp(plugin->methods[0], "absmax8") == 0);
    CHECK(strstr(plugin->file, "absmax8.so") != NULL);
    *count += 1000;
  }
  return 0;
}
static int32_t stop_at_once(void* user, const quanthost_plugin_info* plugin) {
  (void)plugin;
  ++*(int*)user;
  return 1;
}
static int32_t find_method(void* user, const quanthost_method_info* method) {
  if (strcmp(method->name, "absmax8") == 0) {
    CHECK(strcmp(method->plugin, "org.example.absmax8") == 0);
    CHECK(method->requires_calibration == 0 && method->quant_method[0] != 0);
    CHECK(method->option_count == 1 && method->options[0].struct_size == sizeof *method->options);
    CHECK(strcmp(method->options[0].name, "modules_to_not_convert") == 0);
    CHECK(method->options[0].type[0] && method->options[0].help[0]);
    CHECK(method->options[0].default_value[0] != 0);
    *(int*)user = 1;
  }
  return 0;
}
static int32_t find_path(void* user, const char* path, const char* origin) {
  if (strcmp(path, g_plugins) == 0 && strcmp(origin, "--plugin-path") == 0) *(int*)user = 1;
  return 0;
}

static void queries(void) {
  quanthost_host* host = open_host();
  int count = 0, seen = 0;
  WORKS(quanthost_host_plugins(host, count_plugin, &count, &error));
  CHECK(count > 1000);
  count = 0;
  WORKS(quanthost_host_plugins(host, stop_at_once, &count, &error));
  CHECK(count == 1);
  WORKS(quanthost_host_methods(host, find_method, &seen, &error));
  CHECK(seen == 1);
  seen = 0;
  WORKS(quanthost_host_search_path(host, find_path, &seen, &error));
  CHECK(seen == 1);
  FAILS(quanthost_host_plugins(NULL, count_plugin, &count, &error), QUANTHOST_ERR_VALUE, "host");
  FAILS(quanthost_host_plugins(host, NULL, &count, &error), QUANTHOST_ERR_VALUE, "fn");
  FAILS(quanthost_host_methods(host, NULL, &count, &error), QUANTHOST_ERR_VALUE, "fn");
  FAILS(quanthost_host_search_path(host, NULL, &count, &error), QUANTHOST_ERR_VALUE, "fn");
  quanthost_host_free(host);
  quanthost_host_free(NULL);
}

typedef struct Seen {
  char text[4096];
  size_t bytes;
  int calls, limit;
  int64_t tokens[512];
  uint64_t token_count;
  int stages, logs;
} Seen;

static int32_t collect(void* user, const char* text, uint64_t bytes, int64_t token) {
  Seen* seen = user;
  CHECK(token >= 0);
  if (seen->bytes + bytes < sizeof seen->text) memcpy(seen->text + seen->bytes, text, bytes);
  seen->bytes += bytes;
  return ++seen->calls == seen->limit;
}
static void collect_tokens(void* user, const int64_t* tokens, uint64_t count) {
  Seen* seen = user;
  CHECK(count < 512);
  memcpy(seen->tokens, tokens, count * sizeof *tokens);
  seen->token_count = count;
}
static void collect_text(void* user, const char* text, uint64_t bytes) {
  Seen* seen = user;
  memcpy(seen->text, text, bytes);
  seen->text[bytes] = 0;
}
static void check_info(void* user, const quanthost_model_info* info) {
  CHECK(info->struct_size == sizeof *info);
  CHECK(strcmp(info->method, user) == 0);
  CHECK(strcmp(info->architecture, "LlamaForCausalLM") == 0);
  CHECK(strcmp(info->dtype, "float32") == 0 && info->device_map[0] == '{');
  CHECK(info->model_bytes > 0 && info->load_seconds > 0);
  CHECK(strcmp(info->source, g_model) == 0);
  CHECK(info->trainable == (info->method[0] != 0)); /* absmax8 is; a plain model has no method */
}

static void text(void) {
  quanthost_host* host = open_host();
  quanthost_model* model = open_model(host, NULL);
  Seen seen = {.limit = -1};
  WORKS(quanthost_model_describe(model, check_info, "", &error));
  FAILS(quanthost_model_describe(model, NULL, NULL, &error), QUANTHOST_ERR_VALUE, "fn");
  WORKS(quanthost_model_encode(model, "abc z", 0, collect_tokens, &seen, &error));
  CHECK(seen.token_count == 5 && seen.tokens[0] == 0 && seen.tokens[2] == 2);
  CHECK(seen.tokens[3] == 52 && seen.tokens[4] == 25);
  WORKS(
      quanthost_model_decode(model, seen.tokens, seen.token_count, 0, collect_text, &seen, &error));
  CHECK(strcmp(seen.text, "abc z") == 0);
  WORKS(quanthost_model_encode(model, "<|end|>", QUANTHOST_TOKENS_PLAIN, collect_tokens, &seen,
                               &error));
  CHECK(seen.token_count == 1 && seen.tokens[0] == 63);
  WORKS(quanthost_model_decode(model, seen.tokens, 1, QUANTHOST_TOKENS_PLAIN, collect_text, &seen,
                               &error));
  CHECK(strcmp(seen.text, "<|end|>") == 0);
  WORKS(quanthost_model_decode(model, seen.tokens, 1, 0, collect_text, &seen, &error));
  CHECK(seen.text[0] == 0);
  WORKS(quanthost_model_decode(model, NULL, 0, 0, collect_text, &seen, &error));
  FAILS(quanthost_model_decode(model, NULL, 1, 0, collect_text, &seen, &error), QUANTHOST_ERR_VALUE,
        "tokens");
  FAILS(quanthost_model_encode(model, "\xff", 0, collect_tokens, &seen, &error),
        QUANTHOST_ERR_VALUE, "UTF-8");
  FAILS(quanthost_model_encode(model, NULL, 0, collect_tokens, &seen, &error), QUANTHOST_ERR_VALUE,
        "text");
  FAILS(quanthost_model_encode(model, "a", 8, collect_tokens, &seen, &error),
        QUANTHOST_ERR_NOT_IMPLEMENTED, "flags");
  quanthost_host_free(host); /* models live on */
  WORKS(quanthost_model_encode(model, "abc", 0, collect_tokens, &seen, &error));
  quanthost_model_free(model);
  quanthost_model_free(NULL);
}

static void generation(void) {
  quanthost_host* host = open_host();
  quanthost_model* model = open_model(host, NULL);
  quanthost_generate_options options = {.struct_size = sizeof options};
  quanthost_generation result = {.struct_size = sizeof result};
  quanthost_chat_message message = {"user", "hello"};
  quanthost_cancel* cancel = NULL;
  const char* stop;
  Seen all = {.limit = -1}, part = {.limit = 3};
  options.flags = QUANTHOST_GENERATE_GREEDY;
  options.max_new_tokens = 24;
  options.on_text = collect;
  options.on_text_user = &all;
  WORKS(quanthost_model_generate(model, "hello", &options, &result, &error));
  CHECK(result.prompt_tokens == 5 && result.new_tokens == 24);
  CHECK(result.stop_reason == QUANTHOST_STOP_LENGTH && result.prefill_seconds > 0);
  CHECK(all.bytes > 4 && all.bytes < sizeof all.text);

  memset(&part, 0, sizeof part);
  part.limit = -1;
  options.on_text_user = &part;
  WORKS(quanthost_model_encode(model, "hello", 0, collect_tokens, &part, &error));
  WORKS(quanthost_model_generate_tokens(model, part.tokens, part.token_count, &options, &result,
                                        &error));
  CHECK(part.bytes == all.bytes && memcmp(part.text, all.text, all.bytes) == 0);
  FAILS(quanthost_model_generate_tokens(model, NULL, 1, &options, NULL, &error),
        QUANTHOST_ERR_VALUE, "prompt");
  FAILS(quanthost_model_generate_tokens(model, NULL, 0, &options, NULL, &error),
        QUANTHOST_ERR_VALUE, "no tokens");
  memset(&part, 0, sizeof part);
  part.limit = 3;
  WORKS(quanthost_model_generate(model, "hello", &options, &result, &error));
  CHECK(result.stop_reason == QUANTHOST_STOP_CALLBACK && part.calls == 3);
  CHECK(memcmp(part.text, all.text, part.bytes) == 0);

  all.text[4] = 0; /* what came third and fourth must end it */
  stop = all.text + 2;
  options.stop = &stop;
  options.stop_count = 1;
  memset(&part, 0, sizeof part);
  part.limit = -1;
  WORKS(quanthost_model_generate(model, "hello", &options, &result, &error));
  CHECK(result.stop_reason == QUANTHOST_STOP_TEXT && part.bytes <= 2);
  options.stop_count = 0;

  options.flags = QUANTHOST_GENERATE_HAS_TEMPERATURE | QUANTHOST_GENERATE_HAS_TOP_K |
                  QUANTHOST_GENERATE_HAS_TOP_P | QUANTHOST_GENERATE_HAS_REPETITION_PENALTY;
  options.temperature = 0.7;
  options.top_k = 8;
  options.top_p = 0.9;
  options.repetition_penalty = 1.1;
  options.seed = 7;
  WORKS(quanthost_model_chat(model, &message, 1, &options, &result, &error));
  CHECK(result.prompt_tokens > 5);
  FAILS(quanthost_model_chat(model, NULL, 1, &options, &result, &error), QUANTHOST_ERR_VALUE,
        "messages");
  options.repetition_penalty = 0;
  FAILS(quanthost_model_generate(model, "hello", &options, NULL, &error), QUANTHOST_ERR_VALUE,
        "repetition_penalty");

  WORKS(quanthost_cancel_create(&cancel, &error));
  quanthost_cancel_request(cancel);
  CHECK(quanthost_cancel_requested(cancel) == 1);
  options.flags = 0;
  options.cancel = cancel;
  WORKS(quanthost_model_generate(model, "hello", &options, &result, &error));
  CHECK(result.stop_reason == QUANTHOST_STOP_CANCELLED && result.new_tokens == 0);
  quanthost_cancel_reset(cancel);
  CHECK(quanthost_cancel_requested(cancel) == 0 && quanthost_cancel_requested(NULL) == 0);
  quanthost_cancel_free(cancel);
  quanthost_cancel_request(NULL);
  quanthost_cancel_reset(NULL);
  quanthost_cancel_free(NULL);
  quanthost_model_free(model);
  quanthost_host_free(host);
}

/* A caller that was built when the structs were shorter, and one with more than we know. */
static void struct_sizes(void) {
  struct {
    quanthost_generation known;
    int64_t more;
  } longer = {.known = {.struct_size = sizeof longer}, .more = 42};
  unsigned char bytes[sizeof(quanthost_generation)];
  uint32_t size = 16; /* struct_size, stop_reason, prompt_tokens */
  size_t i;
  quanthost_generate_options options = {.struct_size = 16};
  quanthost_host* host = open_host();
  quanthost_model* model = open_model(host, NULL);
  options.max_new_tokens = 3;
  memset(bytes, 0xAB, sizeof bytes);
  memcpy(bytes, &size, sizeof size);
  WORKS(quanthost_model_generate(model, "hello", &options, (quanthost_generation*)bytes, &error));
  for (i = size; i < sizeof bytes; ++i) CHECK(bytes[i] == 0xAB);
  WORKS(quanthost_model_generate(model, "hello", &options, &longer.known, &error));
  CHECK(longer.known.struct_size == sizeof longer && longer.known.new_tokens == 3);
  CHECK(longer.more == 42);
  quanthost_model_free(model);
  quanthost_host_free(host);
}

static int32_t watch(void* user, const quanthost_progress* progress) {
  Seen* seen = user;
  CHECK(progress->struct_size == sizeof *progress && progress->stage[0] != 0);
  CHECK(progress->done <= progress->total);
  if (progress->stage_ended) ++seen->stages;
  return seen->limit > 0;
}
static void log_line(void* user, int32_t level, const char* source, const char* message) {
  CHECK(level >= QUANTHOST_LOG_TRACE && source[0] != 0 && message != NULL);
  ++((Seen*)user)->logs;
}

static void loading(void) {
  Seen seen = {.limit = 0};
  quanthost_host_options host_options = {.struct_size = sizeof host_options};
  quanthost_load_options options = {.struct_size = sizeof options};
  quanthost_setting settings[1] = {{"no_such_option", "1"}};
  quanthost_host* host = NULL;
  quanthost_model* model = NULL;
  quanthost_cancel* cancel = NULL;
  char path[4096];
  host_options.flags = QUANTHOST_HOST_NO_CACHE | QUANTHOST_HOST_HAS_LOG_LEVEL;
  host_options.plugin_paths = &g_plugins;
  host_options.plugin_path_count = 1;
  host_options.trust = "off";
  host_options.log = log_line;
  host_options.log_user = &seen;
  host_options.log_level = QUANTHOST_LOG_TRACE;
  host_options.probe_seconds = 30;
  WORKS(quanthost_host_create(&host_options, &host, &error));
  options.method = "absmax8";
  options.dtype = "float32";
  options.device_map = "cpu";
  options.max_memory = "cpu=1GiB";
  options.max_queue_bytes = 1 << 20;
  options.progress = watch;
  options.progress_user = &seen;
  WORKS(quanthost_model_load(host, g_model, &options, &model, &error));
  CHECK(seen.stages >= 1);
  WORKS(quanthost_model_describe(model, check_info, "absmax8", &error));
  quanthost_model_free(model);
  model = NULL;

  options.settings = settings;
  options.setting_count = 1;
  FAILS(quanthost_model_load(host, g_model, &options, &model, &error), QUANTHOST_ERR_VALUE,
        "no_such_option");
  CHECK(model == NULL);
  options.setting_count = 0;
  options.quantization_file = "/no/such/file.yaml";
  FAILS(quanthost_model_load(host, g_model, &options, &model, &error), QUANTHOST_ERR_VALUE,
        "so does method");
  options.quantization_file = NULL;
  FAILS(quanthost_model_load(host, "/no/such/model", &options, &model, &error), QUANTHOST_ERR_OS,
        "/no/such/model");
  options.method = "absmax9";
  FAILS(quanthost_model_load(host, g_model, &options, &model, &error), QUANTHOST_ERR_VALUE,
        "absmax9");
  options.method = "absmax8";
  seen.limit = 1; /* the progress callback says stop */
  FAILS(quanthost_model_load(host, g_model, &options, &model, &error), QUANTHOST_ERR_CANCELLED,
        "cancelled");
  seen.limit = 0;
  WORKS(quanthost_cancel_create(&cancel, &error));
  FAILS(quanthost_cancel_create(NULL, &error), QUANTHOST_ERR_VALUE, "out");
  quanthost_cancel_request(cancel);
  options.cancel = cancel;
  FAILS(quanthost_model_load(host, g_model, &options, &model, &error), QUANTHOST_ERR_CANCELLED,
        "cancelled");
  quanthost_cancel_reset(cancel);
  WORKS(quanthost_model_load(host, g_model, &options, &model, &error));
  quanthost_cancel_request(cancel); /* a cancel after the load leaves the model alone */
  snprintf(path, sizeof path, "%s/loaded", g_scratch);
  WORKS(quanthost_model_save(model, path, NULL, &error));
  quanthost_cancel_free(cancel);
  quanthost_model_free(model);
  quanthost_host_free(host);
}

static void drop(struct DLManagedTensorVersioned* tensor) {
  qh_managed_tensor* mine = (qh_managed_tensor*)tensor;
  mine->deleter(mine);
}

static void forward(void) {
  int64_t ids[5] = {7, 4, 11, 11, 14}, shape[2] = {1, 5};
  qh_managed_tensor input = {1,    0, NULL,
                             NULL, 0, {NULL, {QH_DEVICE_CPU, 0}, 2, {0, 64, 1}, NULL, NULL, 0}};
  quanthost_named_tensor named = {"input_ids", NULL};
  struct DLManagedTensorVersioned* out = NULL;
  quanthost_host* host = open_host();
  quanthost_model* model = open_model(host, NULL);
  input.tensor.data = ids;
  input.tensor.shape = shape;
  named.tensor = (struct DLManagedTensorVersioned*)&input;
  WORKS(quanthost_model_forward(model, &named, 1, &out, &error));
  if (out) {
    const qh_tensor* logits = &((qh_managed_tensor*)out)->tensor;
    CHECK(logits->ndim == 3 && logits->shape[0] == 1 && logits->shape[1] == 5);
    CHECK(logits->shape[2] == 64 && logits->dtype.code == QH_DTYPE_FLOAT);
    drop(out);
  }
  FAILS(quanthost_model_forward(model, &named, 0, &out, &error), QUANTHOST_ERR_KEY, "input_ids");
  CHECK(out == NULL);
  named.name = "labels";
  FAILS(quanthost_model_forward(model, &named, 1, &out, &error), QUANTHOST_ERR_KEY, "labels");
  named.name = "input_ids";
  ids[2] = 64;
  FAILS(quanthost_model_forward(model, &named, 1, &out, &error), QUANTHOST_ERR_VALUE, "vocabulary");
  ids[2] = 11;
  input.version_major = 2;
  FAILS(quanthost_model_forward(model, &named, 1, &out, &error), QUANTHOST_ERR_VALUE, "DLPack");
  FAILS(quanthost_model_forward(model, NULL, 1, &out, &error), QUANTHOST_ERR_VALUE, "inputs");
  quanthost_model_free(model);
  quanthost_host_free(host);
}

static void saving(void) {
  char quantized[4096], dense[4096];
  quanthost_load_options load = {.struct_size = sizeof load};
  quanthost_save_options save = {.struct_size = sizeof save};
  Seen seen = {.limit = 0};
  quanthost_host* host = open_host();
  quanthost_model* model;
  snprintf(quantized, sizeof quantized, "%s/quantized", g_scratch);
  snprintf(dense, sizeof dense, "%s/dense", g_scratch);
  load.method = "absmax8";
  load.flags = 1u << 31;
  FAILS(quanthost_quantize(host, g_model, quantized, &load, &save, &error),
        QUANTHOST_ERR_NOT_IMPLEMENTED, "quanthost_load_options");
  load.flags = QUANTHOST_LOAD_NO_MAPPED_FILES | QUANTHOST_LOAD_KEEP_SMALL_TYPES;
  save.progress = watch;
  save.progress_user = &seen;
  save.max_shard_bytes = 1 << 20;
  WORKS(quanthost_quantize(host, g_model, quantized, &load, &save, &error));
  CHECK(seen.stages >= 1);
  FAILS(quanthost_quantize(host, g_model, quantized, NULL, NULL, &error), QUANTHOST_ERR_VALUE,
        "method");
  FAILS(quanthost_quantize(host, g_model, NULL, &load, NULL, &error), QUANTHOST_ERR_VALUE,
        "out_folder");
  WORKS(quanthost_model_load(host, quantized, NULL, &model, &error));
  FAILS(quanthost_model_dequantize(model, "float17", &error), QUANTHOST_ERR_VALUE, "float17");
  WORKS(quanthost_model_dequantize(model, NULL, &error));
  FAILS(quanthost_model_dequantize(model, NULL, &error), QUANTHOST_ERR_VALUE, "not quantized");
  WORKS(quanthost_model_save(model, dense, &save, &error));
  FAILS(quanthost_model_save(model, NULL, &save, &error), QUANTHOST_ERR_VALUE, "directory");
  quanthost_model_free(model);
  quanthost_host_free(host);
}

/* A callback that calls back. */
static quanthost_model* g_inner;
static int32_t call_back(void* user, const char* text, uint64_t bytes, int64_t token) {
  quanthost_error* error = NULL;
  (void)text, (void)bytes, (void)token;
  CHECK(quanthost_model_save(g_inner, g_scratch, NULL, &error) == QUANTHOST_ERR_RUNTIME);
  CHECK(strstr(quanthost_error_message(error), "callback") != NULL);
  quanthost_error_free(error);
  *(int*)user = 1;
  return 1;
}
static void callbacks_may_not_call_back(void) {
  int called = 0;
  quanthost_generate_options options = {.struct_size = sizeof options};
  quanthost_host* host = open_host();
  g_inner = open_model(host, NULL);
  options.on_text = call_back;
  options.on_text_user = &called;
  WORKS(quanthost_model_generate(g_inner, "hello", &options, NULL, &error));
  CHECK(called == 1);
  quanthost_model_free(g_inner);
  quanthost_host_free(host);
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {
      {"library", library},       {"errors", errors},
      {"queries", queries},       {"text", text},
      {"generation", generation}, {"struct_sizes", struct_sizes},
      {"loading", loading},       {"forward", forward},
      {"saving", saving},         {"callbacks_may_not_call_back", callbacks_may_not_call_back}};
  size_t i;
  if (argc != 4) {
    fprintf(stderr, "usage: c_api_test MODEL PLUGINS SCRATCH\n");
    return 2;
  }
  g_model = argv[1];
  g_plugins = argv[2];
  g_scratch = argv[3];
  for (i = 0; i < sizeof cases / sizeof *cases; ++i) {
    printf("%s\n", cases[i].name);
    fflush(stdout);
    cases[i].run();
  }
  printf("%s\n", g_failed ? "FAILED" : "all passed");
  return g_failed;
}
