//! How are the host's release, sources and settings parsed?

use super::*;

#[test]
fn derivatives_use_the_packages_of_what_they_are_based_on() {
    let debian = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=trixie\nID=debian\n";
    assert_eq!(vendor(debian), Some(("Debian", "trixie".into())));
    let mint =
        "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=zena\nUBUNTU_CODENAME=noble";
    assert_eq!(vendor(mint), Some(("Ubuntu", "noble".into())));
    assert_eq!(vendor("ID=fedora\n"), None);
    assert_eq!(vendor(""), None);
}

#[test]
fn only_mirrors_of_the_distribution_itself_are_asked() {
    let targets = "http://one.example/debian/\ttrixie\tmain\n\
                   http://one.example/debian/\ttrixie\tcontrib\n\
                   http://one.example/debian/\ttrixie-updates\tmain\n\
                   http://security.example/debian/\ttrixie-security\tmain\n\
                   https://tool.example/apt/\ttrixie\tstable\n\
                   mirror+file:/etc/apt/mirrors/main.list/\tsid\tmain\n\
                   garbage\n";
    let expected = ["http://one.example/debian/", "mirror+file:/etc/apt/mirrors/main.list/"];
    assert_eq!(mirrors(targets, "trixie"), expected);
}

#[test]
fn the_hosts_proxy_is_kept_and_its_hooks_and_exceptions_are_not() {
    let dump = "APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*\";\n\
                Acquire::http::Proxy \"http://proxy.example:3128\";\n\
                Acquire::Check-Valid-Until \"false\";\n\
                Acquire::AllowInsecureRepositories \"true\";\n\
                Acquire::IndexTargets::deb::Contents::DefaultEnabled \"true\";\n\
                Acquire::x \"one\ntwo\";\n\
                Acquire::y \"a\"b\";\n\
                DPkg::Post-Invoke:: \"true\";\n";
    let kept = "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
                Acquire::Check-Valid-Until \"false\";\n";
    assert_eq!(acquire_settings(dump), kept);
}
