use super::*;
use crate::plan::{Learns, Run, render_human, render_sh};

fn secrets(pairs: &[(&str, &str)]) -> Secrets {
    Secrets::from_variables(
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

#[test]
fn names_say_what_is_secret() {
    for name in [
        "GITHUB_TOKEN",
        "TOKEN",
        "token",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "API_KEY",
        "apiKey",
        "APIKEY",
        "PASS",
        "DB_PASS",
        "PASSWORD",
        "MYPASSWORD",
        "PASSWD",
        "MYSQL_PWD",
        "CREDENTIALS",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AUTH",
        "NPM_AUTH",
        "GH_PAT",
        "AWS_SVC_ACCT",
        "signing-key",
        "GITHUBTOKEN",
        "PASSPHRASE",
        "REGISTRY_AUTH_FILE",
    ] {
        assert!(is_secret(name), "{name}");
    }
    for name in [
        "KEYBOARD", "PWD", "OLDPWD", "OLD_PWD", "PATH", "AUTHOR", "PASSES", "COMPASS", "MONKEY",
        "TAG", "", "_", "PATCH", "ACCT", "BYPASS", "KEYRING", "PATTERN", "DISPATCH",
    ] {
        assert!(!is_secret(name), "{name}");
    }
}

#[test]
fn values_are_masked_wherever_they_stand() {
    let all = secrets(&[
        ("TOKEN", "ghp_0123456789"),
        ("PASS", "abcd"),
        ("KEY", "x"),
        ("AUTH", "true"),
        ("TAG", "v1.2.3-tag"),
        ("MORE_TOKEN", "ghp_0123456789abc"),
        ("ODD_PASSWORD", "a b$c'd"),
    ]);
    for (text, shown) in [
        (
            "curl -H 'Bearer ghp_0123456789' x",
            "curl -H 'Bearer ***' x",
        ),
        ("xghp_0123456789y", "x***y"),
        ("ghp_0123456789abc", "***"),
        ("abcd abcde 'abcd' xabcd", "*** abcde '***' xabcd"),
        ("x true v1.2.3-tag", "x true v1.2.3-tag"),
        (r"-- P=a\ b$$c'd", "-- P=***"),
        ("echo 'a b$c'\\''d'", "echo '***'"),
    ] {
        assert_eq!(all.masked(text), shown, "{text}");
    }
    assert!(!format!("{all:?}").contains("ghp"));
}

#[test]
fn what_is_assigned_to_a_secret_name_is_masked() {
    let none = Secrets::default();
    for (text, shown) in [
        ("TOKEN=abc x", "TOKEN=*** x"),
        ("env 'TOKEN=a b' x", "env 'TOKEN=***' x"),
        ("env TOKEN='a b'c x", "env TOKEN=*** x"),
        ("env TOKEN=\"a \\\" b\" x", "env TOKEN=*** x"),
        (
            "--build-arg=GITHUB_TOKEN=abc --x",
            "--build-arg=GITHUB_TOKEN=*** --x",
        ),
        ("-e \"API_KEY=a b\" -e X=y", "-e \"API_KEY=***\" -e X=y"),
        (" -- TOKEN=a\\ b A=1", " -- TOKEN=*** A=1"),
        ("PASS:=abc;x", "PASS:=***;x"),
        ("--password=abc --token=abc", "--password=*** --token=***"),
        ("sort --key=2,3 KEYBOARD=de", "sort --key=2,3 KEYBOARD=de"),
        (
            "TOKEN=$TOKEN TOKEN=\"${TOKEN}\" TOKEN=",
            "TOKEN=$TOKEN TOKEN=\"${TOKEN}\" TOKEN=",
        ),
        ("a=b=c == TOKEN==", "a=b=c == TOKEN=***"),
        ("TOKEN=***", "TOKEN=***"),
    ] {
        assert_eq!(none.masked(text), shown, "{text}");
    }
}

#[test]
fn urls_are_shown_without_passwords() {
    let none = Secrets::default();
    for (text, shown) in [
        ("https://user:pass@host/x", "https://user:***@host/x"),
        (
            "x http_proxy=http://u:p@w@proxy:3128 y",
            "x http_proxy=http://u:***@proxy:3128 y",
        ),
        (
            "https://ghp_abc@github.com/a/b",
            "https://***@github.com/a/b",
        ),
        (
            "ssh://git@host/x docker://a@b",
            "ssh://git@host/x docker://a@b",
        ),
        ("https://$USER:$PASS@host", "https://$USER:$PASS@host"),
        ("https://host/a@b?c=d://e@f", "https://host/a@b?c=d://e@f"),
        ("https://host https://a:b@c", "https://host https://a:***@c"),
    ] {
        assert_eq!(none.masked(text), shown, "{text}");
    }
}

fn plan(secrets: &Secrets) -> Plan {
    let mut plan = Plan::new("t: all TOKEN=ghp_0123456789");
    let run = Run {
        argv: [
            "/bin/sh",
            "-c",
            "printf '%s|' \"ghp_0123456789\" http://u:pass@proxy 'ghp_0123456789'",
        ]
        .map(str::to_owned)
        .into(),
        env: vec![
            ("TOKEN".to_owned(), "ghp_0123456789".to_owned()),
            ("PIN".to_owned(), "12".to_owned()),
            ("PIN_KEY".to_owned(), "12".to_owned()),
            (
                "MAKEFLAGS".to_owned(),
                " -- TOKEN=ghp_0123456789".to_owned(),
            ),
        ],
        recipe: true,
        secrets: secrets.clone(),
        ..Run::default()
    };
    plan.push(Step::new("all (Makefile:2)", Action::Run(run)));
    plan
}

#[test]
fn shown_and_recorded_plans_have_no_secret() {
    let plan = plan(&secrets(&[
        ("TOKEN", "ghp_0123456789"),
        ("http_proxy", "http://u:pass@proxy"),
    ]));
    let human = render_human(&plan);
    assert!(
        human.contains("printf '%s|' \"***\" http://u:***@proxy '***'"),
        "{human}"
    );
    let json = serde_json::to_string(&plan.masked()).unwrap();
    let script = render_sh(&plan);
    for text in [&human, &json, &script] {
        assert!(!text.contains("ghp_") && !text.contains("pass@"), "{text}");
    }
    assert!(
        json.contains(r#"["TOKEN","***"]"#) && json.contains(r#"["PIN","12"]"#),
        "{json}"
    );
    assert!(json.contains(r#"["PIN_KEY","***"]"#), "{json}");
}

#[test]
fn a_script_takes_secrets_from_its_environment() {
    let plan = plan(&secrets(&[
        ("TOKEN", "ghp_0123456789"),
        ("http_proxy", "http://u:pass@proxy"),
    ]));
    let script = render_sh(&plan);
    let run = |environment: &str| {
        let argv = ["/bin/sh", "-c", &format!("{environment}\n{script}")];
        crate::ctx::probe::Probe::new(argv).run().unwrap()
    };
    let mut named = Plan::new("t");
    let path = "\u{f503}HOME\u{f504}".into();
    named.push(Step::new("a file of that name", Action::Remove { path }));
    assert!(render_sh(&named).contains("rm -rf -- '\u{f503}HOME\u{f504}'"));
    let said = run("unset TOKEN http_proxy");
    assert!(
        !said.success && said.stderr.contains("must be set"),
        "{said:?}\n{script}"
    );
    let said = run("TOKEN='other value'; PIN_KEY=12 http_proxy=p");
    assert_eq!(said.stdout, "other value|p|other value|", "{script}");
    assert!(
        script.contains(r#"env TOKEN="${TOKEN}" PIN=12 PIN_KEY="${PIN_KEY}""#),
        "{script}"
    );
}

#[test]
fn values_learnt_later_and_messages_are_masked_too() {
    let secrets = Secrets::default().with([(String::new(), "learnt-value".to_owned())]);
    let failure = Failure::step("`x learnt-value` failed")
        .cause("learnt-value")
        .hint("y learnt-value");
    let masked = failure.masked(&secrets).to_string();
    assert!(
        !masked.contains("learnt") && masked.contains("***"),
        "{masked}"
    );
    let learns = Learns {
        slot: 0,
        name: "TOKEN=abc".to_owned(),
        passage: makefile::Passage::Direct,
        secret: true,
    };
    let mut step = Step::run("t", ["x"]);
    step.learns = Some(learns);
    assert_eq!(step.masked().learns.unwrap().name, "TOKEN=***");
}
