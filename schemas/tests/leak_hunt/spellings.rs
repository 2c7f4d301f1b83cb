//! How a name and its value are written down: the pair grammars of the formats that end up in queries, bodies, headers and
//! user agents. `N` stands for the name, `V` for the value.

use super::Sample;
use super::rng::Rng;

/// Name of the grammar, and a text of it.
pub const SPELLINGS: &[(&str, &str)] = &[
    ("query", "a=1&N=V&b=2"),
    ("query, last", "a=1&N=V"),
    ("query, semicolons", "a=1;N=V;b=2"),
    ("spaced", "N = V"),
    ("spaced in a text", "login failed N = V for bob"),
    ("colon", "N: V"),
    ("colon, tight", "x,N:V"),
    ("brackets", "user[N]=V&x=1"),
    ("brackets, deep", "a[0][user][N]=V&x=1"),
    ("dotted", "user.N=V&x=1"),
    ("array", "N[]=V&N[]=x"),
    ("matrix", "/app;N=V;v=1/x"),
    ("json", r#"{"a":1,"N":"V","b":[2]}"#),
    ("json, spaced", r#"{ "a" : 1, "N" : "V" }"#),
    ("json, nested", r#"{"user":{"login":{"N":"V","x":1}}}"#),
    ("json, array", r#"{"N":["V","x"],"b":2}"#),
    ("json, object below", r#"{"N":{"value":"V","age":3},"b":2}"#),
    ("json, escaped", r#"{\"a\":1,\"N\":\"V\",\"b\":2}"#),
    ("json, cut", r#"{"a":1,"N":"V"#),
    ("json, single quotes", "{'a': 1, 'N': 'V', 'b': 2}"),
    ("json5", "{a: 1, N: 'V', b: 2}"),
    ("name and value", r#"[{"name":"N","value":"V"},{"name":"x","value":"y"}]"#),
    ("value and name", r#"[{"value":"V","name":"N"}]"#),
    ("key and value", r#"{"key":"N","value":"V"}"#),
    ("k and v", r#"[{"k":"N","v":"V"}]"#),
    ("n and v", r#"{"n":"N","v":"V"}"#),
    ("key and val, single quotes", "{'key': 'N', 'val': 'V'}"),
    ("mongo, query", "N[$eq]=V&x=1"),
    ("mongo, json", r#"{"N":{"$ne":"V"}}"#),
    ("mongo, list", r#"{"N":{"$in":["V"]}}"#),
    ("xml", "<login><N>V</N><x>1</x></login>"),
    ("xml, namespace", "<wsse:N Type=\"text\">V</wsse:N>"),
    ("xml, cdata", "<N><![CDATA[V]]></N>"),
    ("attribute", "<user N=\"V\" x=\"1\"/>"),
    ("attribute, single quotes", "<user x='1' N='V'/>"),
    ("xml, key and value", "<add key=\"N\" value=\"V\"/>"),
    ("html input", "<input type=\"text\" name=\"N\" value=\"V\">"),
    ("html input, value first", "<form><input value=\"V\" type=\"text\" name=\"N\"></form>"),
    ("html input, an id between", "<input name=\"N\" id=\"x7\" class=\"c\" value=\"V\" required> Sign in"),
    ("html input, an id before", "<input value='V' id='x7' name='N'/> Sign in"),
    ("html input, capitals", "<INPUT NAME=\"\u{1}\" TYPE=\"TEXT\" VALUE=\"\u{2}\"> Sign in"),
    ("html input, no quotes", "<input name=N value=V> Sign in"),
    ("html textarea", "<textarea name=\"N\" rows=\"3\">V</textarea>"),
    ("html option", "<select name=\"N\"><option value=\"V\" selected>x</option></select>"),
    ("html meta", "<meta name=\"N\" content=\"V\"/><title>x</title>"),
    ("html data", "<div data-N=\"V\">x</div>"),
    ("xml, property", "<property name=\"N\" value=\"V\"/>"),
    ("xml, entry", "<entry key=\"N\">V</entry>"),
    ("xml, saml", "<Attribute Name=\"\u{1}\"><AttributeValue>\u{2}</AttributeValue></Attribute>"),
    ("xml, rpc", "<member><name>N</name><value><string>V</string></value></member>"),
    ("xml, plist", "<dict><key>N</key><string>V</string></dict>"),
    ("sql, insert", "insert into u(id,N) values(7,'V')"),
    ("sql, insert of two rows", "insert into u (N, id) values ('x', 7), ('V', 8);"),
    ("csv", "id,N,age\n7,V,30\n"),
    ("csv, quotes", "\"id\",\"N\"\r\n\"7\",\"V\""),
    ("csv, semicolons", "id;N;x\n1;x;y\n7;V;z"),
    ("csv, in a parameter", "file=id,N\n7,V&x=1"),
    ("xml, spaced", "<N >\n  V\n</N>"),
    ("json, lines", "{\n  \"N\":\n    \"V\"\n}"),
    ("json, typed", "{\"\u{1}\":{\"S\":\"\u{2}\"},\"x\":{\"N\":\"1\"}}"),
    ("json, otel", r#"{"attributes":[{"key":"N","value":{"stringValue":"V"}}]}"#),
    ("json, three fields", r#"{"name":"N","type":"string","value":"V"}"#),
    ("json, three fields, value first", r#"{"value":"V","id":"x7","name":"N"}"#),
    ("json, capitals", "{\"Name\":\"\u{1}\",\"Value\":\"\u{2}\"}"),
    ("json, pairs", r#"[["x","1"],["N","V"]]"#),
    ("json, headers", r#"{"headers":["Accept: */*","N: V"]}"#),
    ("json, twice escaped", r#"{\\\"a\\\":1,\\\"N\\\":\\\"V\\\"}"#),
    ("yaml, flow", "{user: bob, N: V, x: 1}"),
    ("yaml, folded", "N: >-\n  V\nx: 1"),
    ("yaml, in a list", "- user: bob\n- N: V\n- x: 1"),
    ("yaml, quoted names", "'N': 'V'\n'x': 1"),
    ("graphql, tight", "mutation{login(user:\"bob\",N:\"V\"){id}}"),
    ("graphql, block", "mutation { login(N: \"\"\"V\"\"\") { id } }"),
    ("graphql, default", "query($N: String = \"V\") { me { id } }"),
    ("graphql, nested variables", r#"{"variables":{"input":{"user":"bob","N":"V"}}}"#),
    ("ruby, tight", "{:user=>\"bob\", :N=>\"V\"}"),
    ("ruby, assigned", "params[:N] = \"V\""),
    ("ruby, log", r#"Parameters: {"user"=>{"N"=>"V"}, "commit"=>"x"}"#),
    ("ruby, single quotes", "{ 'N' => 'V' }"),
    ("query, escaped brackets", "user%5BN%5D=V&x=1"),
    ("query, escaped equals", "a=1&N%3DV"),
    ("form of names and values", "name=N&value=V"),
    ("multipart, no quotes", "--x\r\nContent-Disposition: form-data; name=N\r\n\r\nV\r\n--x--"),
    (
        "multipart, typed",
        "--x\r\nContent-Disposition: form-data; name=\"N\"\r\nContent-Type: text/plain\r\n\r\nV\r\n--x--",
    ),
    ("javascript", "const N = 'V';"),
    ("javascript, member", "config[\"N\"] = \"V\";"),
    ("powershell, variable", "$env:N = \"V\""),
    ("python, keyword", "login(user='bob', N='V')"),
    ("cookie pair", "theme=dark; N=V; lang=en"),
    ("yaml", "user: bob\nN: V\nx: 1"),
    ("yaml, quoted", "N: \"V\"\nx: 1"),
    ("yaml, block", "N: |\n  V\nx: 1"),
    ("yaml, list", "- name: N\n  value: V"),
    ("graphql", "mutation { login(user: \"bob\", N: \"V\") { id } }"),
    ("graphql, variables", r#"{"query":"mutation($p:String!){x(p:$p)}","variables":{"N":"V"}}"#),
    ("graphql, input", "mutation { login(input: {user: \"bob\", N: \"V\"}) { id } }"),
    ("ruby, arrow", "{:user => \"bob\", :N => \"V\"}"),
    ("ruby, inspected", r#"{"user"=>"bob", "N"=>"V"}"#),
    ("ruby, symbols", "{user: \"bob\", N: \"V\"}"),
    ("php", "['user' => 'bob', 'N' => 'V']"),
    ("php, serialised", r#"a:1:{s:8:"N";s:16:"V";}"#),
    ("php, dumped", "[N] => V"),
    ("java", "Login(user=bob, N=V)"),
    ("java, braces", "Login{user='bob', N='V'}"),
    ("go", "{User:bob N:V}"),
    ("go, quoted", r#"&Login{User:"bob", N:"V"}"#),
    ("rust", r#"Login { user: "bob", N: Some("V") }"#),
    ("toml", "[db]\nN = \"V\""),
    ("ini", "[db]\nuser=bob\nN=V\nx=1"),
    ("environment", "export N=V"),
    ("environment, quoted", "N='V' ./run"),
    ("properties", "app.db.N=V"),
    ("powershell", "Connect -User bob -N V -Force"),
    ("option", "tool --N V --x 1"),
    ("option, equals", "tool --N=V -x"),
    ("assigned", "N := \"V\""),
    ("compared", "if (N == \"V\") {"),
    ("sql", "update users set N='V' where id=1"),
    ("sql, where", "select 1 from users where N = 'V'"),
    ("connection string", "Server=db;Database=x;Uid=bob;N=V;Pooling=true"),
    ("jdbc", "jdbc:mysql://db.example:3306/x?user=bob&N=V"),
    ("header", "X-N: V"),
    ("header, curl", "curl -H 'X-N: V' https://h.example/"),
    ("header, curl, double quotes", "curl -H \"N: V\" https://h.example/"),
    ("multipart", "--x\r\nContent-Disposition: form-data; name=\"N\"\r\n\r\nV\r\n--x--"),
    ("parameters of a scheme", "Custom user=\"bob\", N=\"V\""),
    ("logfmt", "level=info user=bob N=V took=3"),
    ("logfmt, quoted", "level=info N=\"V\" took=3"),
    ("csv of pairs", "user=bob,N=V,x=1"),
    ("pipes", "user=bob|N=V|x=1"),
    ("netstring of tabs", "user=bob\tN=V\tx=1"),
    ("in brackets", "[N=V]"),
    ("in parentheses", "(N=V)"),
    ("fragment", "https://h.example/cb#N=V&x=1"),
    ("url in a value", "next=https%3A%2F%2Fh.example%2F%3FN%3DV%26x%3D1&b=2"),
];

/// Texts whose grammar itself says what is secret: user information, schemes.
const ALONE: &[(&str, &str)] = &[
    ("sentence", "my password is V, please"),
    ("sentence, german", "Mein Passwort ist V"),
    ("sentence, german, formal", "Das Kennwort lautet V."),
    ("sentence, spanish", "mi contraseña es V"),
    ("sentence, french", "mon mot de passe est V"),
    ("sentence, portuguese", "a senha é V"),
    ("sentence, dutch", "mijn wachtwoord is V"),
    ("sentence, polish", "moje hasło to V"),
    ("sentence, russian", "мой пароль V"),
    ("sentence, swedish", "mitt lösenord är V"),
    ("sentence, japanese", "パスワードはVです"),
    ("sentence, chinese", "我的密码是V"),
    ("sentence, korean", "비밀번호는 V 입니다"),
    ("full-width colon", "密码：V"),
    ("full-width equals", "ｐａｓｓｗｏｒｄ＝V"),
    ("name with a blank, vietnamese", "mật khẩu: V"),
    ("name with a blank, arabic", "كلمة السر: V"),
    ("name with blanks, french", "mot de passe = V"),
    ("name with a blank, english", "login failed, api key: V"),
    ("markdown", "**password**: V"),
    ("markdown, colon inside", "**password:** V"),
    ("in parentheses", "password(V)"),
    ("sql, insert of a select", "insert into u (name,password) select 'bob','V'"),
    ("windows, net user", "net user bob V /add"),
    ("windows, net user, form", "cmd=net+user+bob+V+/add"),
    ("openssl", "openssl enc -aes-256-cbc -k V -in x"),
    ("unzip", "unzip -P V x.zip"),
    ("smbclient", "smbclient -U bob%V //h/share"),
    ("userinfo", "https://bob:V@h.example/x"),
    ("userinfo, postgres", "postgres://bob:V@db.example:5432/x"),
    ("userinfo, redis, no name", "redis://:V@cache.example:6379/0"),
    ("userinfo, mongodb", "mongodb+srv://bob:V@c.example/x?w=majority"),
    ("userinfo, name alone", "https://V@git.example/x.git"),
    ("userinfo, no scheme", "//bob:V@h.example/x"),
    ("userinfo, a host without dots", "amqp://bob:V@broker"),
    ("userinfo, escaped slashes", r#"{"url":"postgres:\/\/bob:V@db.example\/x"}"#),
    ("dsn", "bob:V@tcp(db.example:3306)/x"),
    ("sql, identified", "create user bob@'%' identified by 'V'"),
    ("sql, identified with", "Alter User bob Identified With sha256_password By \"V\""),
    ("sql, identified, bare", "grant all on x.* to bob identified by V;"),
    ("sql, alter", "alter user bob with encrypted password 'V' valid until 'infinity'"),
    ("sql, set", "set password for 'bob'@'h' = 'V'"),
    ("sql, set by a function", "set PassWord for bob = PassWord('V')"),
    ("sql, update", "update users set pwd='V', age=3 where id=7"),
    ("curl user", "curl -u bob:V https://h.example/"),
    ("curl user, long", "curl --user bob:V https://h.example/"),
    ("curl user, long, equals", "curl --user=bob:V https://h.example/"),
    ("curl user, tight", "curl -ubob:V https://h.example/"),
    ("curl user, quoted", "curl -s -u 'bob:V' https://h.example/"),
    ("curl proxy user", "curl --proxy-user bob:V https://h.example/"),
    ("user without a command", "--user=bob:V"),
    ("mysql, dump", "mysqldump --host=db -u bob -pV shop"),
    ("mysql, quoted", "mysql -u bob -p'V' x"),
    ("redis", "redis-cli -h cache -a V ping"),
    ("field of its kind", "<input type=\"password\" id=\"x7\" value=\"V\"> Sign in"),
    ("credential of its kind", r#"{"type":"password","value":"V","temporary":false}"#),
    ("mysql", "mysql -ubob -pV x"),
    ("wget", "wget --http-password=V https://h.example/"),
    ("sshpass", "sshpass -p V ssh bob@h"),
    ("netrc", "machine h.example login bob password V"),
    ("docker login", "docker login -u bob -p V r.example"),
    ("bearer", "Bearer V"),
    ("bearer, small", "bearer V"),
    ("bearer, capitals", "BEARER V"),
    ("bearer, blanks", "Bearer   V"),
    ("bearer, tab", "Bearer\tV"),
    ("bearer, plus", "Bearer+V"),
    ("bearer, escaped", "Bearer%20V"),
    ("bearer, colon", "Bearer:V"),
    ("authorization, bearer", "Authorization: Bearer V"),
    ("authorization, equals", "Authorization=Bearer V"),
    ("authorization, json", r#"{"Authorization": "Bearer V"}"#),
    ("authorization, no scheme", "Authorization: V"),
    ("authorization, token", "Authorization: Token V"),
    ("authorization, token in quotes", "Authorization: Token token=\"V\""),
    ("authorization, no colon", "Authorization Token V"),
    ("authorization, small", "authorization:token   V"),
    ("authorization, api key", "Authorization: ApiKey V"),
    ("authorization, digest", "Authorization: Digest username=\"bob\", response=\"V\""),
    ("authorization, hmac", "Authorization: HMAC-SHA256 Credential=x&Signature=V"),
    ("authorization, signature", "Authorization: Signature keyId=\"x\",signature=\"V\""),
    ("authorization, oauth", "Authorization: OAuth oauth_consumer_key=\"x\", oauth_token=\"V\""),
    ("authorization, hawk", "Authorization: Hawk id=\"x\", mac=\"V\""),
    ("proxy authorization", "Proxy-Authorization: Basic V"),
    ("cookie", "Cookie: theme=dark; sid=V"),
    ("set-cookie", "Set-Cookie: session=V; HttpOnly"),
    ("cookie, curl, long", "curl --cookie 'theme=dark; x=V' https://h.example/"),
    ("cookie, curl, double quotes", "curl -b \"theme=dark; x=V\" https://h.example/"),
    ("cookie, curl", "curl -b 'theme=dark; x=V' https://h.example/"),
    ("negotiate", "Negotiate V"),
    ("digest", "Digest username=\"bob\", nonce=\"x\", response=\"V\""),
    ("basic", "basic V"),
    ("json bearer", r#"{"token_type":"bearer","access_token":"V"}"#),
];

const NAMES: [&str; 5] = ["password", "api_key", "clientSecret", "access_token", "Passwort"];

/// Values: as a program makes one, as people choose them, and one with what breaks grammars.
fn value(which: usize, rng: &mut Rng) -> String {
    match which {
        0 => rng.secret(16),
        1 => rng.text(b"bcdfghjklmnpqrstvwxz", 16),
        2 => format!("{}-{}", rng.secret(12), rng.digits(3)),
        _ => format!("{}!{}", rng.secret(11), rng.secret(4)),
    }
}

/// `text` with a name and a value in it. Where it has these letters of its own, `\u{1}` and `\u{2}` stand for them.
fn filled(text: &str, name: &str, value: &str) -> String {
    let text = if text.contains('\u{2}') { text.into() } else { text.replace('N', "\u{1}").replace('V', "\u{2}") };
    text.replace('\u{1}', name).replace('\u{2}', value)
}

pub fn pairs() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (spelling, text) in SPELLINGS {
        for (which, name) in NAMES.iter().enumerate() {
            let value = value(which % 4, &mut Rng::of(&format!("{spelling} {name}")));
            let text = filled(text, name, &value);
            samples.push(Sample { class: "spellings", name: format!("{spelling}, {name}"), text, parts: vec![value] });
        }
    }
    for (spelling, text) in ALONE {
        for which in [0, 2] {
            let value = if spelling.ends_with("basic") { 0 } else { which };
            let value = value_of(spelling, value);
            let text = text.replace('V', &value);
            samples.push(Sample { class: "spellings", name: format!("{spelling} {which}"), text, parts: vec![value] });
        }
    }
    samples
}

fn value_of(spelling: &str, which: usize) -> String {
    let mut rng = Rng::of(&format!("{spelling} {which}"));
    let length = if ["basic", "proxy authorization", "negotiate"].contains(&spelling) { 32 } else { 18 };
    if which == 0 { rng.secret(length) } else { format!("{}-{}", rng.secret(length), rng.secret(6)) }
}

/// Words of a path behind which the next segment is a secret, with what stands around them.
const TELLING: &[&str] = &[
    "/reset/V",
    "/reset-password/V",
    "/password/reset/V",
    "/account/password_reset/V/confirm",
    "/verify/V",
    "/verify-email/V",
    "/email/verify/V",
    "/invite/V",
    "/invitation/V",
    "/invitations/V/accept",
    "/session/V",
    "/v1/sessions/V/refresh",
    "/webhook/V",
    "/webhooks/V",
    "/hooks/V",
    "/bot/V",
    "/confirm/V",
    "/confirmation/V",
    "/activate/V",
    "/activation/V",
    "/unsubscribe/V",
    "/token/V",
    "/tokens/V",
    "/auth/V",
    "/magic-link/V",
    "/magic/V",
    "/login/V",
    "/sso/V",
    "/oauth/token/V",
    "/api-key/V",
    "/apikey/V",
    "/key/V",
    "/keys/V/rotate",
    "/secret/V",
    "/secrets/V",
    "/recover/V",
    "/recovery/V",
    "/share/V",
    "/shared/V",
    "/download/token/V",
    "/resetPassword/V",
    "/forgot-password/V",
    "/password/V",
    "/set-password/V",
    "/otp/V",
    "/code/V",
    "/bot7123456789:V/sendMessage",
    "/relay/7123456789:V/sendMessage",
    "/relay/services/T0ABCDEFG/B0ABCDEFG/V",
    "/hooks/catch/1234567/V",
    "/verifyEmail/V",
    "/confirmEmail/V",
    "/magicLink/V",
    "/activateAccount/V",
    "/inviteCode/V",
    "/opt-out/V",
    "/one-time/V",
    "/mfa/V",
    "/passcode/V",
    "/resend/V",
    "/einladung/V",
    "/passwd/V",
    "/pwd/V",
    "/passphrase/V",
    "/passord/V",
    "/heslo/V",
    "/mdp/V",
    "/l%C3%B6senord/V",
    "/losenord/V",
    "/salasana/V",
    "/jelszo/V",
    "/passwort-zur%C3%BCcksetzen/V",
    "/restablecer-contrase%C3%B1a/V",
    "/convite/V",
    "/reinitialiser/V",
    "/приглашение/V",
    "/重置密码/V",
];

pub fn segments() -> Vec<Sample> {
    let made = TELLING.iter().flat_map(|path| {
        [24, 43].map(|length| {
            let value = Rng::of(&format!("{path} {length}")).secret(length);
            let name = format!("{path} of {length}");
            Sample { class: "segments", name, text: path.replace('V', &value), parts: vec![value] }
        })
    });
    // What a log-in link is made of: hexadecimal digits, and UUIDs.
    let entered = ["login", "auth", "join", "access", "link", "callback"].into_iter().flat_map(|word| {
        [("uuid", [8, 4, 4, 4, 12].as_slice()), ("hash", &[32]), ("long hash", &[64])].map(|(kind, sizes)| {
            let mut rng = Rng::of(&format!("{word} {kind}"));
            let groups: Vec<String> = sizes.iter().map(|size| rng.text(b"0123456789abcdef", *size)).collect();
            let value = groups.join("-");
            let name = format!("/{word}/ with a {kind}");
            Sample { class: "segments", name, text: format!("/{word}/{value}"), parts: vec![value] }
        })
    });
    made.chain(entered).collect()
}
