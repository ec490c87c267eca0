#include "host/cli/model_verb_list.hpp"

#include <algorithm>

namespace quanthost::cli {

const std::vector<ModelVerb>& model_verb_list() {
  static const std::vector<ModelVerb> kVerbs{
      {"run", "Generate text"},
      {"load", "Load a model and say how long it took and how much memory"},
      {"plan", "What a load would do with each tensor; reads headers only"},
      {"estimate", "What memory a model would take on each device; reads headers only"},
      {"quantize", "Quantize a checkpoint and save it"},
      {"dequantize", "Turn a quantized checkpoint back into a dense one"},
      {"convert",
       "Turn a GGUF file into a Hugging Face model folder, or a GPTQ checkpoint into another "
       "format"},
      {"inspect",
       "What a model is: architecture, tensors, sizes, quantization; from its headers alone"},
      {"check", "Verify a model deeply: every file, every tensor, every byte"},
      {"ppl", "How well a model predicts a text: its perplexity"},
      {"bench", "How fast a model loads, reads a prompt and generates, by method"},
      {"forward", "Run a model once and write its logits (or last hidden state) as float32"},
      {"tokenize",
       "Text to token ids: one JSON string a line in, one JSON array of ids a line out"},
      {"detokenize",
       "Token ids to text: one JSON array of ids a line in, one JSON string a line out"}};
  return kVerbs;
}

const ModelVerb* find_model_verb(std::string_view name) {
  const auto& verbs = model_verb_list();
  const auto found = std::find_if(verbs.begin(), verbs.end(),
                                  [&](const ModelVerb& verb) { return name == verb.name; });
  return found == verbs.end() ? nullptr : &*found;
}

}  // namespace quanthost::cli
