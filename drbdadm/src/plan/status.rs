//! `sh-status`: what drbdadm prints around the text of drbdsetup (spec 20 section 14.5).

use compat::{
    era::text::shell,
    model::{Config, Resource},
};

use super::call::{Call, Program};
use crate::command::Limit;

/// For each volume of a resource the text before drbdsetup's, and the call for the rest.
pub fn sh_status(config: &Config, resource: &Resource) -> Vec<(String, Call)> {
    let Some(me) = resource.my_host() else {
        return Vec::new();
    };
    let place = &resource.place;
    let mut head = format!(
        "_conf_res_name={}\n_conf_file_line={}:{}\n\n",
        shell(&resource.name),
        shell(&place.file),
        place.line
    );
    let lower = me.lower();
    head.push_str(&format!(
        "_stacked_on={}\n",
        shell(lower.unwrap_or_default())
    ));
    let beneath = lower
        .and_then(|name| config.position(name))
        .and_then(|at| config.resources[at].my_host());
    if beneath.is_none() {
        head.push_str("_stacked_on_device=\n_stacked_on_minor=\n");
    }
    let mut parts = Vec::new();
    for volume in &me.volumes {
        let mut text = std::mem::take(&mut head);
        if let Some(below) = beneath.and_then(|host| host.volume(volume.number)) {
            text.push_str(&format!(
                "_stacked_on_device={}\n_stacked_on_minor={}\n",
                shell(&below.device_name().unwrap_or_default()),
                below.minor.unwrap_or_default()
            ));
        }
        text.push_str(&format!("_conf_volume={}\n", volume.number));
        let minor = volume.minor.unwrap_or_default().to_string();
        let words = vec!["sh-status".to_owned(), minor];
        parts.push((text, Call::new(Program::Drbdsetup, words, Limit::Short)));
    }
    parts
}
