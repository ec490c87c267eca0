//! The quantized layer: y = (x q^T) * scale + bias, with q int8 and one scale for each output row.

use crate::abi::*;
use crate::{check, fail, Outcome, Plugin};

/// A tensor that is ours until it is given away.
pub struct Owned(*mut ManagedTensor);

impl Owned {
    pub fn new(tensor: *mut ManagedTensor) -> Owned {
        Owned(tensor)
    }
    pub fn view(&self) -> &Tensor {
        unsafe { &(*self.0).tensor }
    }
    pub fn give(self) -> *mut ManagedTensor {
        let tensor = self.0;
        std::mem::forget(self);
        tensor
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        unsafe {
            if let Some(deleter) = (*self.0).deleter {
                deleter(self.0);
            }
        }
    }
}

pub struct Linear8 {
    plugin: *const Plugin,
    in_features: i64,
    out_features: i64,
    has_bias: bool,
    rows_loaded: i64,
    dense_dtype: Dtype,
    weight: Option<Owned>,
    scale: Option<Owned>,
    bias: Option<Owned>,
}

impl Linear8 {
    pub fn new(plugin: &Plugin, in_features: i64, out_features: i64, has_bias: bool) -> Linear8 {
        Linear8 { plugin, in_features, out_features, has_bias, rows_loaded: 0, dense_dtype: F32, weight: None, scale: None, bias: None }
    }
    fn plugin<'a>(&self) -> &'a Plugin {
        unsafe { &*self.plugin }
    }
    fn is_loaded(&self) -> bool {
        self.weight.is_some() && self.scale.is_some() && self.rows_loaded == self.out_features && (self.bias.is_some() || !self.has_bias)
    }
    fn parts(&self) -> Outcome<(&Owned, &Owned)> {
        match (&self.weight, &self.scale) {
            (Some(weight), Some(scale)) if self.is_loaded() => Ok((weight, scale)),
            _ => fail(ERR_RUNTIME, "the layer is not loaded yet"),
        }
    }
    unsafe fn allocate(&self, exec: &Exec, dtype: Dtype, shape: &[i64]) -> Outcome<Owned> {
        let mut out = std::ptr::null_mut();
        check((self.plugin().tensor()?.allocate)(exec, dtype, shape.len() as i32, shape.as_ptr(), &mut out))?;
        Ok(Owned(out))
    }
    unsafe fn converted(&self, exec: &Exec, from: &Tensor, dtype: Dtype) -> Outcome<Owned> {
        let out = self.allocate(exec, dtype, from.shape())?;
        check((self.plugin().tensor()?.copy)(exec, from, out.view()))?;
        Ok(out)
    }

    pub unsafe fn quantize_rows(&mut self, exec: &Exec, row_begin: i64, value: Owned) -> Outcome<()> {
        let shape = value.view().shape().to_vec();
        if shape.len() != 2 || shape[1] != self.in_features || row_begin + shape[0] > self.out_features {
            return fail(ERR_VALUE, format!("a weight of shape {shape:?} does not fit a layer of {} rows and {} columns", self.out_features, self.in_features));
        }
        if self.weight.is_none() {
            self.dense_dtype = value.view().dtype;
            self.weight = Some(self.allocate(exec, I8, &[self.out_features, self.in_features])?);
            self.scale = Some(self.allocate(exec, F32, &[self.out_features])?);
        }
        let dense = self.converted(exec, value.view(), F32)?;
        let columns = self.in_features as usize;
        let first = row_begin as usize;
        let weights = self.weight.as_ref().unwrap().view().values::<i8>();
        let scales = self.scale.as_ref().unwrap().view().values::<f32>();
        for (row, from) in dense.view().values::<f32>().chunks_exact(columns).enumerate() {
            let to = &mut weights[(first + row) * columns..(first + row + 1) * columns];
            let scale = from.iter().fold(0f32, |largest, w| largest.max(w.abs())) / 127.0;
            for (q, w) in to.iter_mut().zip(from) {
                *q = if scale > 0.0 { (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
            }
            scales[first + row] = scale;
        }
        self.rows_loaded += shape[0];
        Ok(())
    }

    pub unsafe fn set(&mut self, name: &str, value: Owned) -> Outcome<()> {
        let weight_shape = [self.out_features, self.in_features];
        let (expected, dtype) = match name {
            "weight" => (&weight_shape[..], Some(I8)),
            "weight_scale" => (&weight_shape[..1], Some(F32)),
            "bias" if self.has_bias => (&weight_shape[..1], None),
            _ => return fail(ERR_KEY, format!("the layer has no parameter '{name}'")),
        };
        if value.view().shape() != expected {
            return fail(ERR_VALUE, format!("'{name}' has shape {:?}, the layer needs {expected:?}", value.view().shape()));
        }
        if dtype.is_some_and(|d| d != value.view().dtype) {
            return fail(ERR_TYPE, "a stored weight has to be int8 and its scale float32");
        }
        match name {
            "weight" => {
                self.weight = Some(value);
                self.rows_loaded = self.out_features;
            }
            "weight_scale" => self.scale = Some(value),
            _ => self.bias = Some(value),
        }
        Ok(())
    }

    unsafe fn forward(&self, exec: &Exec, input: &Tensor, output: &Tensor) -> Outcome<()> {
        let (weight, scale) = self.parts()?;
        let x = self.converted(exec, input, F32)?;
        let y = self.allocate(exec, F32, output.shape())?;
        let bias = match &self.bias {
            Some(bias) => Some(self.converted(exec, bias.view(), F32)?),
            None => None,
        };
        let (columns, rows) = (self.in_features as usize, self.out_features as usize);
        for (x, y) in x.view().values::<f32>().chunks_exact(columns).zip(y.view().values::<f32>().chunks_exact_mut(rows)) {
            for (row, q) in weight.view().values::<i8>().chunks_exact(columns).enumerate() {
                let sum: f32 = x.iter().zip(q.iter()).map(|(x, q)| x * f32::from(*q)).sum();
                y[row] = sum * scale.view().values::<f32>()[row] + bias.as_ref().map_or(0.0, |b| b.view().values::<f32>()[row]);
            }
        }
        check((self.plugin().tensor()?.copy)(exec, y.view(), output))
    }

    unsafe fn dequantized(&self, exec: &Exec, dtype: Dtype) -> Outcome<Owned> {
        let (weight, scale) = self.parts()?;
        let dense = self.allocate(exec, F32, weight.view().shape())?;
        let columns = self.in_features as usize;
        let quantized = weight.view().values::<i8>().chunks_exact(columns);
        for ((to, q), s) in dense.view().values::<f32>().chunks_exact_mut(columns).zip(quantized).zip(scale.view().values::<f32>().iter()) {
            for (to, q) in to.iter_mut().zip(q.iter()) {
                *to = f32::from(*q) * s;
            }
        }
        self.converted(exec, dense.view(), if dtype.bits == 0 { self.dense_dtype } else { dtype })
    }

    unsafe fn emit_state(&self, exec: &Exec, out: TensorSink) -> Outcome<()> {
        let (weight, scale) = self.parts()?;
        for (name, tensor) in [("weight", Some(weight)), ("weight_scale", Some(scale)), ("bias", self.bias.as_ref())] {
            let Some(tensor) = tensor else { continue };
            let view = tensor.view();
            let mut shared = std::ptr::null_mut();
            check((self.plugin().tensor()?.share)(exec, tensor.0, view.dtype, view.ndim, view.shape, &mut shared))?;
            check((out.emit)(out.ctx, Str::new(name), shared))?;
        }
        Ok(())
    }
}

unsafe fn on<'a>(this: Opaque) -> &'a mut Linear8 {
    &mut *(this as *mut Linear8)
}

unsafe extern "C" fn destroy(this: Opaque) {
    drop(Box::from_raw(this as *mut Linear8));
}

unsafe extern "C" fn describe(this: Opaque, out: *mut ModuleInfo) -> Status {
    let layer = on(this);
    (*out).has_bias = layer.has_bias as u32;
    (*out).in_features = layer.in_features;
    (*out).out_features = layer.out_features;
    (*out).dtype = layer.dense_dtype;
    (*out).loaded = layer.is_loaded() as u32;
    OK
}

unsafe extern "C" fn parameters(this: Opaque, out: ParamInfoSink) -> Status {
    let layer = on(this);
    let shape = [layer.out_features, layer.in_features];
    let bias_dtype = layer.bias.as_ref().map_or(F32, |b| b.view().dtype);
    for (name, dtype, ndim) in [("weight", I8, 2), ("weight_scale", F32, 1), ("bias", bias_dtype, 1)] {
        if name == "bias" && !layer.has_bias {
            continue;
        }
        let info = ParamInfo {
            struct_size: std::mem::size_of::<ParamInfo>() as u32,
            is_buffer: 0,
            name: Str::new(name),
            dtype,
            ndim,
            shape: shape.as_ptr(),
            element_bytes: f64::from(dtype.bits) / 8.0,
        };
        let status = (out.emit)(out.ctx, &info);
        if status != OK {
            return status;
        }
    }
    OK
}

unsafe extern "C" fn set_param(this: Opaque, _: *const Exec, name: Str, value: *mut ManagedTensor) -> Status {
    let value = Owned(value);
    let layer = on(this);
    layer.plugin().guard(|| layer.set(name.get(), value))
}

unsafe extern "C" fn forward(this: Opaque, exec: *const Exec, inputs: *const Tensor, _: u32, output: *const Tensor) -> Status {
    let layer = on(this);
    layer.plugin().guard(|| layer.forward(&*exec, &*inputs, &*output))
}

unsafe extern "C" fn state_dict(this: Opaque, exec: *const Exec, out: TensorSink) -> Status {
    let layer = on(this);
    layer.plugin().guard(|| layer.emit_state(&*exec, out))
}

unsafe extern "C" fn dequantize(this: Opaque, exec: *const Exec, dtype: Dtype, out: *mut *mut ManagedTensor) -> Status {
    let layer = on(this);
    layer.plugin().guard(|| {
        *out = layer.dequantized(&*exec, dtype)?.give();
        Ok(())
    })
}

pub static CLASS: ModuleClass = ModuleClass {
    struct_size: std::mem::size_of::<ModuleClass>() as u32,
    flags: MODULE_LINEAR,
    name: Str::new("Linear8"),
    destroy,
    describe,
    parameters,
    set_param: Some(set_param),
    get_param: None,
    output_info: None,
    forward,
    backward_input: None,
    to_device: None,
    state_dict,
    dequantize: Some(dequantize),
};
