//! The part of quanthost/abi.h that this plugin uses, declared in Rust. Layouts are those of the C header.
//! Slots that are not used are kept as pointers, so that later ones stay at their offsets.

use std::ffi::c_void;

pub type Status = i32;
pub const OK: Status = 0;
pub const ERR_VALUE: Status = 2;
pub const ERR_RUNTIME: Status = 3;
pub const ERR_ATTRIBUTE: Status = 4;
pub const ERR_TYPE: Status = 8;
pub const ERR_KEY: Status = 9;
pub const ERR_INTERNAL: Status = 11;
pub const ABI_MAJOR: u32 = 1;
pub const ABI_MINOR: u32 = 0;
pub const CREATE_PRE_QUANTIZED: u32 = 1;
pub const QUANTIZER_CONCURRENT: u32 = 1;
pub const MODULE_LINEAR: u32 = 1;

/// An unused slot or an opaque handle.
pub type Opaque = *mut c_void;
pub type Unused = Option<unsafe extern "C" fn()>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    pub data: *const u8,
    pub size: u64,
}

impl Str {
    pub const fn new(text: &'static str) -> Str {
        Str { data: text.as_ptr(), size: text.len() as u64 }
    }
    pub fn of(text: &str) -> Str {
        Str { data: text.as_ptr(), size: text.len() as u64 }
    }
    /// # Safety
    /// The memory behind it has to live as long as the call it came with.
    pub unsafe fn get<'a>(self) -> &'a str {
        if self.size == 0 {
            return "";
        }
        std::str::from_utf8(std::slice::from_raw_parts(self.data, self.size as usize)).unwrap_or("")
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct StrList {
    pub items: *const Str,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct StrSink {
    pub ctx: Opaque,
    pub emit: unsafe extern "C" fn(Opaque, Str) -> Status,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PairSink {
    pub ctx: Opaque,
    pub emit: unsafe extern "C" fn(Opaque, Str, Str) -> Status,
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq)]
pub struct Dtype {
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
}
pub const F32: Dtype = Dtype { code: 2, bits: 32, lanes: 1 };
pub const I8: Dtype = Dtype { code: 0, bits: 8, lanes: 1 };

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tensor {
    pub data: *mut u8,
    pub device: [i32; 2],
    pub ndim: i32,
    pub dtype: Dtype,
    pub shape: *mut i64,
    pub strides: *mut i64,
    pub byte_offset: u64,
}

impl Tensor {
    /// # Safety
    /// The tensor has to be alive.
    pub unsafe fn shape(&self) -> &[i64] {
        std::slice::from_raw_parts(self.shape, self.ndim as usize)
    }
    /// # Safety
    /// The tensor has to be alive and contiguous, with elements of type T.
    pub unsafe fn values<T>(&self) -> &mut [T] {
        let count = self.shape().iter().product::<i64>() as usize;
        std::slice::from_raw_parts_mut(self.data.add(self.byte_offset as usize) as *mut T, count)
    }
}

#[repr(C)]
pub struct ManagedTensor {
    pub version: [u32; 2],
    pub manager_ctx: Opaque,
    pub deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
    pub flags: u64,
    pub tensor: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct TensorSink {
    pub ctx: Opaque,
    pub emit: unsafe extern "C" fn(Opaque, Str, *mut ManagedTensor) -> Status,
}

pub type RangeFn = unsafe extern "C" fn(Opaque, i64, i64) -> Status;

#[repr(C)]
pub struct Exec {
    pub struct_size: u32,
    pub thread_count: u32,
    pub device_name: Str,
    pub device: [i32; 2],
    pub stream: Opaque,
    pub ctx: Opaque,
    pub allocate: Unused,
    pub release: Unused,
    pub parallel_for: unsafe extern "C" fn(Opaque, i64, i64, RangeFn, Opaque) -> Status,
    pub cancelled: Unused,
    pub progress: Unused,
}

#[repr(C)]
pub struct HostApi {
    pub struct_size: u32,
    pub reserved: u32,
    pub set_error: unsafe extern "C" fn(Opaque, Status, Str, Str),
    pub get_service: unsafe extern "C" fn(Opaque, Str) -> *const c_void,
}

#[repr(C)]
pub struct Offer {
    pub struct_size: u32,
    pub abi_major: u32,
    pub abi_minor_min: u32,
    pub abi_minor_max: u32,
    pub host: Opaque,
    pub api: *const HostApi,
    pub host_version: Str,
    pub plugin_path: Str,
}

#[repr(C)]
pub struct Accept {
    pub struct_size: u32,
    pub abi_minor: u32,
    pub plugin: Opaque,
    pub api: *const PluginApi,
}

#[repr(C)]
pub struct PluginApi {
    pub struct_size: u32,
    pub flags: u32,
    pub describe: unsafe extern "C" fn(Opaque, PairSink) -> Status,
    pub quantizer: unsafe extern "C" fn(Opaque, Str, *mut *const QuantizerApi) -> Status,
    pub package: Unused,
    pub self_test: Unused,
    pub extension: Unused,
    pub shutdown: unsafe extern "C" fn(Opaque),
}

#[repr(C)]
pub struct CreateArgs {
    pub struct_size: u32,
    pub flags: u32,
    // The rest is not used here.
}

#[repr(C)]
pub struct ParamQuery {
    pub struct_size: u32,
    pub flags: u32,
    pub name: Str,
    // The rest is not used here.
}

#[repr(C)]
pub struct ParamArgs {
    pub struct_size: u32,
    pub flags: u32,
    pub name: Str,
    pub value: *mut ManagedTensor,
    pub target_device: Str,
    pub row_begin: i64,
    // The rest is not used here.
}

#[repr(C)]
pub struct QuantizerApi {
    pub struct_size: u32,
    pub flags: u32,
    pub create: unsafe extern "C" fn(Opaque, *const CreateArgs, *mut Opaque) -> Status,
    pub destroy: unsafe extern "C" fn(Opaque),
    pub validate_environment: Unused,
    pub update_torch_dtype: Unused,
    pub update_device_map: Unused,
    pub adjust_target_dtype: Option<unsafe extern "C" fn(Opaque, Dtype, *mut Dtype) -> Status>,
    pub adjust_max_memory: Unused,
    pub process_before_load: Option<unsafe extern "C" fn(Opaque, *const Exec, Opaque, Opaque) -> Status>,
    pub update_missing_keys: Option<unsafe extern "C" fn(Opaque, Opaque, StrList, Str, StrSink) -> Status>,
    pub update_unexpected_keys: Unused,
    pub update_expected_keys: Unused,
    pub get_special_dtypes_update: Unused,
    pub param_element_size: Unused,
    pub check_quantized_param: Option<unsafe extern "C" fn(Opaque, Opaque, *const ParamQuery, *mut i32) -> Status>,
    pub row_granularity: Unused,
    pub create_quantized_param: Option<unsafe extern "C" fn(Opaque, *const Exec, Opaque, *const ParamArgs) -> Status>,
    pub process_after_load: Unused,
    pub is_serializable: Option<unsafe extern "C" fn(Opaque, *mut i32) -> Status>,
    // The rest has the host's defaults.
}
unsafe impl Sync for QuantizerApi {}

#[repr(C)]
pub struct ModuleInfo {
    pub struct_size: u32,
    pub has_bias: u32,
    pub in_features: i64,
    pub out_features: i64,
    pub dtype: Dtype,
    pub loaded: u32,
}

#[repr(C)]
pub struct ParamInfo {
    pub struct_size: u32,
    pub is_buffer: u32,
    pub name: Str,
    pub dtype: Dtype,
    pub ndim: i32,
    pub shape: *const i64,
    pub element_bytes: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParamInfoSink {
    pub ctx: Opaque,
    pub emit: unsafe extern "C" fn(Opaque, *const ParamInfo) -> Status,
}

#[repr(C)]
pub struct ModuleClass {
    pub struct_size: u32,
    pub flags: u32,
    pub name: Str,
    pub destroy: unsafe extern "C" fn(Opaque),
    pub describe: unsafe extern "C" fn(Opaque, *mut ModuleInfo) -> Status,
    pub parameters: unsafe extern "C" fn(Opaque, ParamInfoSink) -> Status,
    pub set_param: Option<unsafe extern "C" fn(Opaque, *const Exec, Str, *mut ManagedTensor) -> Status>,
    pub get_param: Unused,
    pub output_info: Unused,
    pub forward: unsafe extern "C" fn(Opaque, *const Exec, *const Tensor, u32, *const Tensor) -> Status,
    pub backward_input: Unused,
    pub to_device: Unused,
    pub state_dict: unsafe extern "C" fn(Opaque, *const Exec, TensorSink) -> Status,
    pub dequantize: Option<unsafe extern "C" fn(Opaque, *const Exec, Dtype, *mut *mut ManagedTensor) -> Status>,
    // The rest has the host's defaults.
}
unsafe impl Sync for ModuleClass {}

#[repr(C)]
pub struct ModuleDesc {
    pub struct_size: u32,
    pub flags: u32,
    pub name: Str,
    pub class_name: Str,
    pub parent: Str,
    pub in_features: i64,
    pub out_features: i64,
    pub has_bias: u32,
    pub reserved: u32,
}

#[repr(C)]
pub struct ModuleDescSink {
    pub ctx: Opaque,
    pub emit: unsafe extern "C" fn(Opaque, *const ModuleDesc) -> Status,
}

#[repr(C)]
pub struct ModelApi {
    pub struct_size: u32,
    pub reserved: u32,
    pub before_modules: [Unused; 3],
    pub modules: unsafe extern "C" fn(Opaque, ModuleDescSink) -> Status,
    pub between: [Unused; 6],
    pub default_modules_to_not_convert: unsafe extern "C" fn(Opaque, StrSink) -> Status,
    pub is_skipped: unsafe extern "C" fn(Opaque, Str, StrList, *mut i32) -> Status,
    pub params: [Unused; 2],
    pub replace_module: unsafe extern "C" fn(Opaque, Str, *const ModuleClass, Opaque) -> Status,
    pub plugin_module: unsafe extern "C" fn(Opaque, Str, *const ModuleClass, *mut Opaque) -> Status,
}

#[repr(C)]
pub struct TensorApi {
    pub struct_size: u32,
    pub reserved: u32,
    pub allocate: unsafe extern "C" fn(*const Exec, Dtype, i32, *const i64, *mut *mut ManagedTensor) -> Status,
    pub copy: unsafe extern "C" fn(*const Exec, *const Tensor, *const Tensor) -> Status,
    pub share: unsafe extern "C" fn(*const Exec, *mut ManagedTensor, Dtype, i32, *const i64, *mut *mut ManagedTensor) -> Status,
}
