//! absmax8 in Rust: the entry point and the method. linear8.rs holds the quantized layer, abi.rs the ABI.
//! A panic is caught at the edge of every slot and becomes a status, as the ABI demands.

mod abi;
mod linear8;

use abi::*;
use linear8::{Linear8, CLASS};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What failed: the status and a sentence for the user.
pub struct Failure(pub Status, pub String);
pub type Outcome<T> = Result<T, Failure>;

pub fn fail<T>(status: Status, message: impl Into<String>) -> Outcome<T> {
    Err(Failure(status, message.into()))
}

/// A host service's status; the host has recorded why.
pub fn check(status: Status) -> Outcome<()> {
    if status == OK { Ok(()) } else { fail(status, "") }
}

/// The host as one instance of this plugin sees it.
pub struct Plugin {
    host: Opaque,
    api: *const HostApi,
    pub model: *const ModelApi,
    pub tensor: *const TensorApi,
}

impl Plugin {
    pub unsafe fn guard(&self, body: impl FnOnce() -> Outcome<()>) -> Status {
        let (status, message) = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => return OK,
            Ok(Err(Failure(status, message))) => (status, message),
            Err(_) => (ERR_INTERNAL, "the plugin panicked".to_string()),
        };
        if !message.is_empty() {
            ((*self.api).set_error)(self.host, status, Str::of(&message), Str::new(""));
        }
        status
    }
    unsafe fn service<T>(host: Opaque, api: *const HostApi, id: &'static str) -> *const T {
        ((*api).get_service)(host, Str::new(id)) as *const T
    }
    pub unsafe fn model(&self) -> Outcome<&ModelApi> {
        self.model.as_ref().map_or_else(|| fail(ERR_RUNTIME, "this host does not offer qh.model/1"), Ok)
    }
    pub unsafe fn tensor(&self) -> Outcome<&TensorApi> {
        self.tensor.as_ref().map_or_else(|| fail(ERR_RUNTIME, "this host does not offer qh.tensor/1"), Ok)
    }
}

struct Quantizer {
    plugin: *const Plugin,
    pre_quantized: bool,
}

unsafe fn on<'a>(this: Opaque) -> (&'a Quantizer, &'a Plugin) {
    let quantizer = &*(this as *const Quantizer);
    (quantizer, &*quantizer.plugin)
}

unsafe extern "C" fn create(plugin: Opaque, args: *const CreateArgs, out: *mut Opaque) -> Status {
    let pre_quantized = (*args).flags & CREATE_PRE_QUANTIZED != 0;
    *out = Box::into_raw(Box::new(Quantizer { plugin: plugin as *const Plugin, pre_quantized })) as Opaque;
    OK
}

unsafe extern "C" fn destroy(this: Opaque) {
    drop(Box::from_raw(this as *mut Quantizer));
}

unsafe extern "C" fn adjust_target_dtype(_: Opaque, _: Dtype, out: *mut Dtype) -> Status {
    *out = I8;
    OK
}

struct Layer {
    name: String,
    in_features: i64,
    out_features: i64,
    has_bias: bool,
}

unsafe extern "C" fn list_linear(ctx: Opaque, desc: *const ModuleDesc) -> Status {
    let d = &*desc;
    if d.class_name.get() == "Linear" {
        (*(ctx as *mut Vec<Layer>)).push(Layer {
            name: d.name.get().to_string(),
            in_features: d.in_features,
            out_features: d.out_features,
            has_bias: d.has_bias != 0,
        });
    }
    OK
}

unsafe extern "C" fn list_string(ctx: Opaque, value: Str) -> Status {
    (*(ctx as *mut Vec<String>)).push(value.get().to_string());
    OK
}

unsafe extern "C" fn process_before_load(this: Opaque, _: *const Exec, model: Opaque, _: Opaque) -> Status {
    let (_, plugin) = on(this);
    plugin.guard(|| {
        let api = plugin.model()?;
        let mut layers: Vec<Layer> = Vec::new();
        let mut skipped: Vec<String> = Vec::new();
        check((api.modules)(model, ModuleDescSink { ctx: &mut layers as *mut _ as Opaque, emit: list_linear }))?;
        let sink = StrSink { ctx: &mut skipped as *mut _ as Opaque, emit: list_string };
        check((api.default_modules_to_not_convert)(model, sink))?;
        let patterns: Vec<Str> = skipped.iter().map(|s| Str::of(s)).collect();
        for layer in layers {
            let list = StrList { items: patterns.as_ptr(), count: patterns.len() as u64 };
            let mut skip = 0;
            check((api.is_skipped)(model, Str::of(&layer.name), list, &mut skip))?;
            if skip != 0 {
                continue;
            }
            let state = Linear8::new(plugin, layer.in_features, layer.out_features, layer.has_bias);
            let raw = Box::into_raw(Box::new(state)) as Opaque;
            if let Err(failure) = check((api.replace_module)(model, Str::of(&layer.name), &CLASS, raw)) {
                drop(Box::from_raw(raw as *mut Linear8));
                return Err(failure);
            }
        }
        Ok(())
    })
}

/// "a.b.weight" → our layer "a.b", if it is one, and "weight".
unsafe fn owner<'a, 'b>(plugin: &Plugin, model: Opaque, name: &'b str) -> Option<(&'a mut Linear8, &'b str)> {
    let (module, leaf) = name.rsplit_once('.')?;
    let mut found: Opaque = std::ptr::null_mut();
    let api = plugin.model().ok()?;
    if (api.plugin_module)(model, Str::of(module), &CLASS, &mut found) != OK {
        return None;
    }
    Some((&mut *(found as *mut Linear8), leaf))
}

unsafe extern "C" fn check_quantized_param(this: Opaque, model: Opaque, query: *const ParamQuery, out: *mut i32) -> Status {
    let (_, plugin) = on(this);
    *out = owner(plugin, model, (*query).name.get()).is_some() as i32;
    OK
}

unsafe extern "C" fn create_quantized_param(this: Opaque, exec: *const Exec, model: Opaque, args: *const ParamArgs) -> Status {
    let (_, plugin) = on(this);
    let value = linear8::Owned::new((*args).value);
    plugin.guard(|| match owner(plugin, model, (*args).name.get()) {
        None => fail(ERR_ATTRIBUTE, "the parameter belongs to no layer of absmax8_rust"),
        Some((layer, "weight")) if value.view().dtype.code != I8.code => {
            layer.quantize_rows(&*exec, (*args).row_begin, value)
        }
        Some((layer, leaf)) => layer.set(leaf, value),
    })
}

unsafe extern "C" fn update_missing_keys(this: Opaque, model: Opaque, keys: StrList, _: Str, out: StrSink) -> Status {
    let (quantizer, plugin) = on(this);
    let items = if keys.count == 0 { &[][..] } else { std::slice::from_raw_parts(keys.items, keys.count as usize) };
    for key in items {
        // A dense checkpoint has no scales: they come from the weights.
        let scale = matches!(owner(plugin, model, key.get()), Some((_, "weight_scale")));
        if scale && !quantizer.pre_quantized {
            continue;
        }
        let status = (out.emit)(out.ctx, *key);
        if status != OK {
            return status;
        }
    }
    OK
}

unsafe extern "C" fn is_serializable(_: Opaque, out: *mut i32) -> Status {
    *out = 1;
    OK
}

static QUANTIZER: QuantizerApi = QuantizerApi {
    struct_size: std::mem::size_of::<QuantizerApi>() as u32,
    flags: QUANTIZER_CONCURRENT,
    create,
    destroy,
    validate_environment: None,
    update_torch_dtype: None,
    update_device_map: None,
    adjust_target_dtype: Some(adjust_target_dtype),
    adjust_max_memory: None,
    process_before_load: Some(process_before_load),
    update_missing_keys: Some(update_missing_keys),
    update_unexpected_keys: None,
    update_expected_keys: None,
    get_special_dtypes_update: None,
    param_element_size: None,
    check_quantized_param: Some(check_quantized_param),
    row_granularity: None,
    create_quantized_param: Some(create_quantized_param),
    process_after_load: None,
    is_serializable: Some(is_serializable),
};

unsafe extern "C" fn describe(_: Opaque, out: PairSink) -> Status {
    for (key, value) in [("id", "org.example.absmax8-rust"), ("version", "1.0.0"), ("quantizer", "absmax8_rust")] {
        let status = (out.emit)(out.ctx, Str::of(key), Str::of(value));
        if status != OK {
            return status;
        }
    }
    OK
}

unsafe extern "C" fn quantizer(this: Opaque, method: Str, out: *mut *const QuantizerApi) -> Status {
    let plugin = &*(this as *const Plugin);
    plugin.guard(|| {
        if method.get() != "absmax8_rust" {
            return fail(ERR_KEY, "the only method of this plugin is absmax8_rust");
        }
        *out = &QUANTIZER;
        Ok(())
    })
}

unsafe extern "C" fn shutdown(this: Opaque) {
    drop(Box::from_raw(this as *mut Plugin));
}

static PLUGIN: PluginApi = PluginApi {
    struct_size: std::mem::size_of::<PluginApi>() as u32,
    flags: 0,
    describe,
    quantizer,
    package: None,
    self_test: None,
    extension: None,
    shutdown,
};

/// # Safety
/// Called by a quanthost host with its offer.
#[no_mangle]
pub unsafe extern "C" fn qh_plugin_entry_v1(offer: *const Offer, accept: *mut Accept) -> Status {
    let whole = std::mem::size_of::<Offer>() as u32;
    if offer.is_null() || accept.is_null() || (*offer).struct_size < whole {
        return ERR_VALUE;
    }
    let (host, api) = ((*offer).host, (*offer).api);
    let fits = (*offer).abi_minor_min <= ABI_MINOR && ABI_MINOR <= (*offer).abi_minor_max;
    if (*offer).abi_major != ABI_MAJOR || !fits {
        let text = format!("org.example.absmax8-rust was built for plugin ABI {ABI_MAJOR}.{ABI_MINOR}; this host offers another");
        ((*api).set_error)(host, ERR_RUNTIME, Str::of(&text), Str::new("rebuild the plugin with this host's SDK"));
        return ERR_RUNTIME;
    }
    if (*accept).struct_size < std::mem::size_of::<Accept>() as u32 {
        return ERR_VALUE;
    }
    let plugin = Plugin { host, api, model: Plugin::service(host, api, "qh.model/1"), tensor: Plugin::service(host, api, "qh.tensor/1") };
    (*accept).abi_minor = ABI_MINOR;
    (*accept).plugin = Box::into_raw(Box::new(plugin)) as Opaque;
    (*accept).api = &PLUGIN;
    OK
}
