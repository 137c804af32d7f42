//! Weights that are no weights, that lie, or that do not fit the model.

use crate::check::Case;
use crate::fixture::{Bench, Head, Named, safetensors_raw, zip};

const EMBED: &[&str] = &["embed", "m", "texts.txt", "--out", "v.npy"];

/// A good model whose `model.safetensors` has this content.
fn weights(b: &Bench, content: impl AsRef<[u8]>) {
    b.model("m", Head::MaskedLm);
    b.write("m/model.safetensors", content);
}

/// A good model with `pytorch_model.bin` of this content instead of safetensors.
fn torch(b: &Bench, content: impl AsRef<[u8]>) {
    b.model("m", Head::MaskedLm);
    b.remove("m/model.safetensors");
    b.write("m/pytorch_model.bin", content);
}

fn reshape(tensors: &mut [Named], name: &str, shape: Vec<usize>) {
    let tensor = tensors.iter_mut().find(|t| t.0 == name).expect("there");
    tensor.2.resize(shape.iter().product(), 0.0);
    tensor.1 = shape;
}

/// `os.system("true")` as a pickle, protocol 2.
const CODE: &[u8] = b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.";

pub const CASES: &[Case] = &[
    Case {
        name: "safetensors cut off in its data",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.cut("m/model.safetensors", b.read("m/model.safetensors").len() - 100);
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "truncated|cut|incomplete|bytes", "download|copy|again"],
    },
    Case {
        name: "safetensors cut off in its header",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.cut("m/model.safetensors", 300);
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "header"],
    },
    Case {
        name: "safetensors of five bytes",
        make: |b| weights(b, "\x01\0\0\0\0"),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "8 bytes", "safetensors file"],
    },
    Case {
        name: "safetensors empty",
        make: |b| weights(b, ""),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "empty|0 bytes"],
    },
    Case {
        name: "safetensors with a lying header length",
        make: |b| weights(b, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, b'{', b'}']),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "header"],
    },
    Case {
        name: "safetensors whose header is no JSON",
        make: |b| weights(b, safetensors_raw("{\"a\": [1, 2", &[0; 16])),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "header", "json"],
    },
    Case {
        name: "safetensors with offsets beyond its end",
        make: |b| {
            weights(b, safetensors_raw(r#"{"x":{"dtype":"F32","shape":[1024],"data_offsets":[0,4096]}}"#, &[0; 64]));
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "4096|offset|bytes"],
    },
    Case {
        name: "safetensors with a shape that disagrees with its bytes",
        make: |b| {
            weights(b, safetensors_raw(r#"{"x":{"dtype":"F32","shape":[3,3],"data_offsets":[0,64]}}"#, &[0; 64]));
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "x", "shape|bytes"],
    },
    Case {
        name: "safetensors with a shape that overflows",
        make: |b| {
            let shape = u64::MAX;
            let header = format!(r#"{{"x":{{"dtype":"F32","shape":[{shape},{shape}],"data_offsets":[0,64]}}}}"#);
            weights(b, safetensors_raw(&header, &[0; 64]));
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "shape|overflow|header"],
    },
    Case {
        name: "safetensors with an unknown element type",
        make: |b| {
            weights(b, safetensors_raw(r#"{"x":{"dtype":"F99","shape":[16],"data_offsets":[0,64]}}"#, &[0; 64]));
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "F99"],
    },
    Case {
        name: "a pointer of git-lfs instead of weights",
        make: |b| weights(b, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n"),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "git-lfs|git lfs", "pull"],
    },
    Case {
        name: "a web page instead of weights",
        make: |b| weights(b, "<!DOCTYPE html><html><body>Not found</body></html>"),
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "html|web page|header"],
    },
    Case {
        name: "a tensor of the encoder is missing",
        make: |b| {
            b.model_of("m", Head::MaskedLm, |t| t.retain(|t| t.0 != "bert.encoder.layer.1.attention.self.key.weight"));
        },
        run: EMBED,
        exit: 1,
        says: &["encoder.layer.1.attention.self.key.weight", "missing|no tensor|lacks"],
    },
    Case {
        name: "a tensor with a misspelt name",
        make: |b| {
            b.model_of("m", Head::MaskedLm, |t| {
                for tensor in t.iter_mut() {
                    tensor.0 =
                        tensor.0.replace("layer.0.attention.self.query.weight", "layer.0.attention.self.qeury.weight");
                }
            });
        },
        run: EMBED,
        exit: 1,
        says: &["attention.self.query.weight", "did you mean", "attention.self.qeury.weight"],
    },
    Case {
        name: "a tensor of the wrong shape",
        make: |b| {
            b.model_of("m", Head::MaskedLm, |t| reshape(t, "bert.encoder.layer.0.output.dense.weight", vec![8, 12]));
        },
        run: EMBED,
        exit: 1,
        says: &["encoder.layer.0.output.dense.weight", "[8, 12]", "[8, 16]"],
    },
    Case {
        name: "fewer word embeddings than the configuration says",
        make: |b| {
            b.model_of("m", Head::MaskedLm, |t| reshape(t, "bert.embeddings.word_embeddings.weight", vec![50, 8]))
        },
        run: EMBED,
        exit: 1,
        says: &["word_embeddings.weight", "[50, 8]", "[62, 8]"],
    },
    Case {
        name: "weights of integers",
        make: |b| {
            b.model("m", Head::MaskedLm);
            let text = b.read("m/model.safetensors");
            let at = text.windows(5).position(|w| w == b"\"F32\"").expect("there");
            b.write("m/model.safetensors", [&text[..at], b"\"I32\"", &text[at + 5..]].concat());
        },
        run: EMBED,
        exit: 1,
        says: &["I32", "attention.self.query.weight|tensor"],
    },
    Case {
        name: "no weights at all",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("m/model.safetensors");
        },
        run: EMBED,
        exit: 1,
        says: &["m", "model.safetensors"],
    },
    Case {
        name: "weights that are a folder",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("m/model.safetensors");
            b.folder("m/model.safetensors");
        },
        run: EMBED,
        exit: 1,
        says: &["m/model.safetensors", "folder|directory"],
    },
    Case {
        name: "an index that names a shard that is not there",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("m/model.safetensors");
            let index =
                r#"{"metadata":{},"weight_map":{"bert.embeddings.LayerNorm.bias":"model-00001-of-00002.safetensors"}}"#;
            b.write("m/model.safetensors.index.json", index);
        },
        run: EMBED,
        exit: 1,
        says: &["model-00001-of-00002.safetensors"],
    },
    Case {
        name: "pickled code in pytorch_model.bin",
        make: |b| torch(b, zip(&[("archive/data.pkl", CODE), ("archive/version", b"3\n")])),
        run: EMBED,
        exit: 1,
        says: &["pytorch_model.bin", "os.system|os system|`os`", "safetensors|weights"],
    },
    Case {
        name: "pytorch_model.bin of the old format",
        make: |b| torch(b, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
        run: EMBED,
        exit: 1,
        says: &["pytorch_model.bin", "zip|old|legacy"],
    },
    Case {
        name: "pytorch_model.bin cut off",
        make: |b| {
            let whole = zip(&[("archive/data.pkl", CODE)]);
            torch(b, &whole[..whole.len() - 30]);
        },
        run: EMBED,
        exit: 1,
        says: &["pytorch_model.bin"],
    },
    Case {
        name: "pytorch_model.bin without a pickle",
        make: |b| torch(b, zip(&[("readme.txt", b"nothing")])),
        run: EMBED,
        exit: 1,
        says: &["pytorch_model.bin", "data.pkl|pickle"],
    },
    Case {
        name: "weights that are not numbers",
        make: |b| {
            b.model_of("m", Head::MaskedLm, |t| t[0].2[0] = f32::NAN);
        },
        run: EMBED,
        exit: 1,
        says: &["nan|not finite|non-finite|not a number", "layer.0.attention.self.query.weight|m"],
    },
];
