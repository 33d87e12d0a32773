//! `examples/kubernetes`: the settings in the ConfigMap. `tests/python/test_deploy.py` checks the rest.

use std::fs;

use crate::{
    common::{
        Folder,
        process::{SERVER, run},
    },
    example, server_has,
};

#[test]
fn the_server_accepts_the_settings_of_the_config_map() {
    let manifest = fs::read_to_string(example("kubernetes/daytime.yaml")).unwrap();
    let (_, rest) = manifest.split_once("  daytime.toml: |\n").unwrap();
    let mut settings: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("    ")).collect();
    assert!(settings.len() >= 5, "{settings:?}");
    if !server_has("--listen-metrics") {
        settings.retain(|line| !line.starts_with("listen-metrics"));
    }
    let folder = Folder::new();
    let file = folder.write("daytime.toml", &settings.join("\n"));
    let checked = run(SERVER, &["--config", &file, "--check"], "");
    assert_eq!((checked.code, &*checked.err), (Some(0), ""));
    assert!(checked.out.starts_with("listen: [::]:9990\n"), "{}", checked.out);
}
