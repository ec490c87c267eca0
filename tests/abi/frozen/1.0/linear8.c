/* The quantized layer: y = (x q^T) * scale + bias, with q int8 and one scale for each output row.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "absmax8.h"

static const qh_dtype f32 = {QH_DTYPE_FLOAT, 32, 1};
static const qh_dtype i8 = {QH_DTYPE_INT, 8, 1};

static void* data_of(const qh_tensor* t) { return (char*)t->data + t->byte_offset; }

static int64_t elements_of(const qh_tensor* t) {
  int64_t n = 1;
  int32_t i;
  for (i = 0; i < t->ndim; ++i) n *= t->shape[i];
  return n;
}

static qh_status allocate(const struct qh_module* self, const qh_exec* exec, qh_dtype dtype,
                          int32_t ndim, const int64_t* shape, qh_managed_tensor** out) {
  if (!self->plugin->tensor.allocate)
    return fail_with(self->plugin, QH_ERR_RUNTIME, "this host does not offer " QH_TENSOR_ID);
  return self->plugin->tensor.allocate(exec, dtype, ndim, shape, out);
}

/* A float32 copy. */
static qh_status to_float(const struct qh_module* self, const qh_exec* exec, const qh_tensor* from,
                          qh_managed_tensor** out) {
  qh_status status = allocate(self, exec, f32, from->ndim, from->shape, out);
  if (status == QH_OK) status = self->plugin->tensor.copy(exec, from, &(*out)->tensor);
  if (status != QH_OK) drop(out);
  return status;
}

struct qh_module* linear8_new(const struct qh_plugin* plugin, const qh_module_desc* desc) {
  struct qh_module* self = calloc(1, sizeof *self);
  if (!self) return NULL;
  self->plugin = plugin;
  self->in_features = desc->in_features;
  self->out_features = desc->out_features;
  self->has_bias = (int32_t)desc->has_bias;
  self->dense_dtype = f32;
  return self;
}

static void destroy(qh_module* self) {
  drop(&self->weight);
  drop(&self->scale);
  drop(&self->bias);
  free(self);
}

static int is_loaded(const struct qh_module* self) {
  return self->weight && self->scale && self->rows_loaded == self->out_features &&
         (self->bias || !self->has_bias);
}

static qh_status expect_loaded(const struct qh_module* self) {
  return is_loaded(self) ? QH_OK
                         : fail_with(self->plugin, QH_ERR_RUNTIME, "the layer is not loaded yet");
}

struct rows_call {
  const struct qh_module* self;
  const float* dense;
  int64_t row_begin;
};

static qh_status quantize_range(void* arg, int64_t begin, int64_t end) {
  const struct rows_call* call = arg;
  const int64_t columns = call->self->in_features;
  int64_t row, i;
  for (row = begin; row < end; ++row) {
    const float* from = call->dense + row * columns;
    int8_t* to = (int8_t*)data_of(&call->self->weight->tensor) + (call->row_begin + row) * columns;
    float largest = 0, scale;
    for (i = 0; i < columns; ++i) largest = fmaxf(largest, fabsf(from[i]));
    scale = largest / 127.0f;
    for (i = 0; i < columns; ++i) {
      const float q = scale > 0 ? nearbyintf(from[i] / scale) : 0.0f;
      to[i] = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q == q ? q : 0);
    }
    ((float*)data_of(&call->self->scale->tensor))[call->row_begin + row] = scale;
  }
  return QH_OK;
}

qh_status linear8_quantize_rows(struct qh_module* self, const qh_exec* exec, int64_t row_begin,
                                qh_managed_tensor* value) {
  const int64_t shape[2] = {self->out_features, self->in_features};
  struct rows_call call = {self, NULL, row_begin};
  qh_managed_tensor* dense = NULL;
  qh_status status = QH_OK;
  const int64_t rows = value->tensor.ndim == 2 ? value->tensor.shape[0] : 0;
  if (value->tensor.ndim != 2 || value->tensor.shape[1] != self->in_features ||
      row_begin + rows > self->out_features)
    status = fail_with(self->plugin, QH_ERR_VALUE, "the weight does not have the layer's shape");
  if (status == QH_OK && !self->weight) {
    self->dense_dtype = value->tensor.dtype;
    status = allocate(self, exec, i8, 2, shape, &self->weight);
    if (status == QH_OK) status = allocate(self, exec, f32, 1, shape, &self->scale);
  }
  if (status == QH_OK) status = to_float(self, exec, &value->tensor, &dense);
  drop(&value);
  if (status == QH_OK) {
    call.dense = data_of(&dense->tensor);
    status = exec->parallel_for(exec->ctx, rows, 16, quantize_range, &call);
  }
  drop(&dense);
  if (status == QH_OK) self->rows_loaded += rows;
  return status;
}

qh_status linear8_set(struct qh_module* self, const qh_exec* exec, qh_str name,
                      qh_managed_tensor* value) {
  const int is_weight = same_text(name, "weight"), is_scale = same_text(name, "weight_scale");
  const qh_tensor* t = &value->tensor;
  qh_managed_tensor** slot = is_weight ? &self->weight : is_scale ? &self->scale : &self->bias;
  qh_status status = QH_OK;
  (void)exec;
  if (!is_weight && !is_scale && !(same_text(name, "bias") && self->has_bias))
    status = fail_with(self->plugin, QH_ERR_KEY, "the layer has no parameter of this name");
  else if (t->ndim != (is_weight ? 2 : 1) || t->shape[0] != self->out_features ||
           (is_weight && t->shape[1] != self->in_features))
    status = fail_with(self->plugin, QH_ERR_VALUE, "the tensor does not have the layer's shape");
  else if ((is_weight && (t->dtype.code != i8.code || t->dtype.bits != 8)) ||
           (is_scale && (t->dtype.code != f32.code || t->dtype.bits != 32)))
    status = fail_with(self->plugin, QH_ERR_TYPE,
                       "a stored weight has to be int8 and its scale float32");
  if (status != QH_OK) {
    drop(&value);
    return status;
  }
  drop(slot);
  *slot = value;
  if (is_weight) self->rows_loaded = self->out_features;
  return QH_OK;
}

qh_managed_tensor* linear8_take_bias(struct qh_module* self) {
  qh_managed_tensor* bias = self->bias;
  self->bias = NULL;
  return bias;
}

static qh_status describe(qh_module* self, qh_module_info* out) {
  const qh_module_info info = {sizeof info,       (uint32_t)self->has_bias,
                               self->in_features, self->out_features,
                               self->dense_dtype, (uint32_t)is_loaded(self)};
  const uint32_t size = out->struct_size < sizeof info ? out->struct_size : (uint32_t)sizeof info;
  memcpy(out, &info, size);
  out->struct_size = size;
  return QH_OK;
}

static qh_status emit_info(const qh_param_info_sink* out, const char* name, qh_dtype dtype,
                           int32_t ndim, const int64_t* shape) {
  const qh_param_info info = {sizeof info, 0, text_of(name), dtype, ndim, shape, dtype.bits / 8.0};
  return out->emit(out->ctx, &info);
}

static qh_status parameters(qh_module* self, qh_param_info_sink out) {
  const int64_t shape[2] = {self->out_features, self->in_features};
  qh_status status = emit_info(&out, "weight", i8, 2, shape);
  if (status == QH_OK) status = emit_info(&out, "weight_scale", f32, 1, shape);
  if (status == QH_OK && self->has_bias)
    status = emit_info(&out, "bias", self->bias ? self->bias->tensor.dtype : f32, 1, shape);
  return status;
}

struct forward_call {
  const struct qh_module* self;
  const float* x;
  const float* bias;
  float* y;
  int64_t tokens;
};

static qh_status forward_range(void* arg, int64_t begin, int64_t end) {
  const struct forward_call* call = arg;
  const int64_t k = call->self->in_features, n = call->self->out_features;
  const float* scale = data_of(&call->self->scale->tensor);
  int64_t token, row, i;
  for (token = 0; token < call->tokens; ++token)
    for (row = begin; row < end; ++row) {
      const int8_t* q = (const int8_t*)data_of(&call->self->weight->tensor) + row * k;
      const float* x = call->x + token * k;
      float sum = 0;
      for (i = 0; i < k; ++i) sum += x[i] * q[i];
      call->y[token * n + row] = sum * scale[row] + (call->bias ? call->bias[row] : 0.0f);
    }
  return QH_OK;
}

static qh_status forward(qh_module* self, const qh_exec* exec, const qh_tensor* inputs,
                         uint32_t count, const qh_tensor* output) {
  struct forward_call call = {self, NULL, NULL, NULL, 0};
  qh_managed_tensor *x = NULL, *y = NULL, *bias = NULL;
  qh_status status = expect_loaded(self);
  (void)count;
  if (status == QH_OK) status = to_float(self, exec, inputs, &x);
  if (status == QH_OK && self->bias) status = to_float(self, exec, &self->bias->tensor, &bias);
  if (status == QH_OK) status = allocate(self, exec, f32, output->ndim, output->shape, &y);
  if (status == QH_OK) {
    call.x = data_of(&x->tensor);
    call.y = data_of(&y->tensor);
    call.bias = bias ? data_of(&bias->tensor) : NULL;
    call.tokens = elements_of(&x->tensor) / self->in_features;
    status = exec->parallel_for(exec->ctx, self->out_features, 64, forward_range, &call);
  }
  if (status == QH_OK) status = self->plugin->tensor.copy(exec, &y->tensor, output);
  drop(&x);
  drop(&y);
  drop(&bias);
  return status;
}

static void dequantize_row(const struct qh_module* self, int64_t row, float* out) {
  const int8_t* q = (const int8_t*)data_of(&self->weight->tensor) + row * self->in_features;
  const float scale = ((const float*)data_of(&self->scale->tensor))[row];
  int64_t i;
  for (i = 0; i < self->in_features; ++i) out[i] = q[i] * scale;
}

static qh_status backward_input(qh_module* self, const qh_exec* exec, const qh_tensor* grad_output,
                                const qh_tensor* input, const qh_tensor* grad_input) {
  qh_managed_tensor *grad = NULL, *out = NULL, *row_values = NULL;
  qh_status status = expect_loaded(self);
  int64_t token, row, i, tokens;
  (void)input;
  if (status == QH_OK) status = to_float(self, exec, grad_output, &grad);
  if (status == QH_OK)
    status = allocate(self, exec, f32, grad_input->ndim, grad_input->shape, &out);
  if (status == QH_OK) status = allocate(self, exec, f32, 1, &self->in_features, &row_values);
  if (status == QH_OK) {
    const float* g = data_of(&grad->tensor);
    float* to = data_of(&out->tensor);
    float* w = data_of(&row_values->tensor);
    tokens = elements_of(&grad->tensor) / self->out_features;
    memset(to, 0, (size_t)(tokens * self->in_features) * sizeof *to);
    for (row = 0; row < self->out_features; ++row) {
      dequantize_row(self, row, w);
      for (token = 0; token < tokens; ++token)
        for (i = 0; i < self->in_features; ++i)
          to[token * self->in_features + i] += g[token * self->out_features + row] * w[i];
    }
    status = self->plugin->tensor.copy(exec, &out->tensor, grad_input);
  }
  drop(&grad);
  drop(&out);
  drop(&row_values);
  return status;
}

static qh_status emit_shared(const struct qh_module* self, const qh_exec* exec,
                             const qh_tensor_sink* out, const char* name,
                             qh_managed_tensor* tensor) {
  qh_managed_tensor* shared = NULL;
  const qh_status status = self->plugin->tensor.share(
      exec, tensor, tensor->tensor.dtype, tensor->tensor.ndim, tensor->tensor.shape, &shared);
  return status == QH_OK ? out->emit(out->ctx, text_of(name), shared) : status;
}

static qh_status state_dict(qh_module* self, const qh_exec* exec, qh_tensor_sink out) {
  qh_status status = expect_loaded(self);
  if (status == QH_OK) status = emit_shared(self, exec, &out, "weight", self->weight);
  if (status == QH_OK) status = emit_shared(self, exec, &out, "weight_scale", self->scale);
  if (status == QH_OK && self->bias) status = emit_shared(self, exec, &out, "bias", self->bias);
  return status;
}

static qh_status dequantize(qh_module* self, const qh_exec* exec, qh_dtype dtype,
                            qh_managed_tensor** out) {
  const int64_t shape[2] = {self->out_features, self->in_features};
  qh_managed_tensor* dense = NULL;
  qh_status status = expect_loaded(self);
  int64_t row;
  *out = NULL;
  if (status == QH_OK) status = allocate(self, exec, f32, 2, shape, &dense);
  if (status == QH_OK) {
    for (row = 0; row < self->out_features; ++row)
      dequantize_row(self, row, (float*)data_of(&dense->tensor) + row * self->in_features);
    if (dtype.bits == 0) dtype = self->dense_dtype;
    status = allocate(self, exec, dtype, 2, shape, out);
  }
  if (status == QH_OK) status = self->plugin->tensor.copy(exec, &dense->tensor, &(*out)->tensor);
  if (status != QH_OK) drop(out);
  drop(&dense);
  return status;
}

const qh_module_class absmax8_class = {
    .struct_size = sizeof(qh_module_class),
    .flags = QH_MODULE_LINEAR,
    .name = {"Linear8", 7},
    .destroy = destroy,
    .describe = describe,
    .parameters = parameters,
    .set_param = linear8_set,
    .forward = forward,
    .backward_input = backward_input,
    .state_dict = state_dict,
    .dequantize = dequantize,
};
