/* embed_c MODEL [PROMPT]: loads a model and writes what it generates, as it comes. */
#include <quanthost/quanthost.h>
#include <stdio.h>

static int32_t write_piece(void* user, const char* text, uint64_t bytes, int64_t token) {
  (void)user;
  (void)token;
  fwrite(text, 1, (size_t)bytes, stdout);
  fflush(stdout);
  return 0; /* go on */
}

static void print_model(void* user, const quanthost_model_info* model) {
  (void)user;
  fprintf(stderr, "%s in %s, %.1f MB, loaded in %.2f s\n", model->architecture, model->dtype,
          (double)model->model_bytes / 1e6, model->load_seconds);
}

/* Every failure carries its whole story. */
static int failed(quanthost_error* error) {
  fprintf(stderr, "%s: %s\n", quanthost_error_kind_name(error), quanthost_error_message(error));
  if (quanthost_error_remedy(error)[0])
    fprintf(stderr, "  what to do: %s\n", quanthost_error_remedy(error));
  quanthost_error_free(error);
  return 1;
}

static int generate(quanthost_model* model, const char* prompt) {
  quanthost_generate_options options = {.struct_size = sizeof options};
  quanthost_generation result = {.struct_size = sizeof result};
  quanthost_chat_message message;
  quanthost_error* error = NULL;
  options.flags = QUANTHOST_GENERATE_GREEDY;
  options.max_new_tokens = 48;
  options.on_text = write_piece;
  message.role = "user";
  message.content = prompt;
  if (quanthost_model_chat(model, &message, 1, &options, &result, &error)) return failed(error);
  fprintf(stderr, "\n%lld tokens, %.1f a second\n", (long long)result.new_tokens,
          result.decode_seconds > 0 ? (double)result.new_tokens / result.decode_seconds : 0.0);
  return 0;
}

int main(int argc, char** argv) {
  quanthost_host* host = NULL;
  quanthost_model* model = NULL;
  quanthost_error* error = NULL;
  int code;
  if (argc < 2) {
    fprintf(stderr, "usage: embed_c MODEL [PROMPT]\n");
    return 2;
  }
  if (quanthost_host_create(NULL, &host, &error)) return failed(error);
  if (quanthost_model_load(host, argv[1], NULL, &model, &error)) {
    quanthost_host_free(host);
    return failed(error);
  }
  quanthost_model_describe(model, print_model, NULL, NULL);
  code = generate(model, argc > 2 ? argv[2] : "What is the capital of France?");
  quanthost_model_free(model);
  quanthost_host_free(host);
  return code;
}
