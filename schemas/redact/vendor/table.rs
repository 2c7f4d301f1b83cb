//! Prefixes of vendors' keys that the bundled rules do not have, or hold too narrowly (a key that was cut, or one that
//! got longer, is a key too).
//!
//! Promises: adding a vendor is one word in one of these lists.
//! Never: looks at a text.

use super::super::classes::Class;

/// What the characters behind a prefix must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Anything of the right length: nobody else writes this prefix.
    Prefix,
    /// So many capitals and digits.
    Capitals,
    /// They must look generated.
    Random,
    /// Exactly so many, of letters in both cases, digits, `_` and `-`.
    Mixed,
    /// They must look generated, of the characters of base64, in several pieces perhaps.
    Base64,
    /// A number, `/`, and a secret: the path of a webhook.
    Hook,
    /// They must look generated, be of the rule's own characters and of its exact length.
    Exact,
}

/// Prefixes of one class that share what must follow them.
pub(super) struct Group {
    pub(super) class: Class,
    pub(super) least: u16,
    pub(super) proof: Proof,
    pub(super) prefixes: &'static str,
}

const fn group(class: Class, least: u16, proof: Proof, prefixes: &'static str) -> Group {
    Group { class, least, proof, prefixes }
}

#[rustfmt::skip]
pub(super) static GROUPS: &[Group] = &[
    group(Class::GITHUB_TOKEN, 8, Proof::Prefix, "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_"),
    group(Class::GITLAB_TOKEN, 8, Proof::Prefix, "glpat- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- gloas- \
        glsoat- glffct- glwt- GR1348941"),
    group(Class::SLACK_TOKEN, 8, Proof::Prefix, "xoxa- xoxb- xoxc- xoxd- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xapp-"),
    group(Class::STRIPE_KEY, 8, Proof::Prefix, "sk_live_ rk_live_ sk_test_ rk_test_ pk_live_ pk_test_ sk_org_live_ \
        sk_org_test_ ek_live_ ek_test_ whsec_"),
    group(Class::STRIPE_KEY, 20, Proof::Random, "cs_live_ cs_test_ ephkey_ cuss_secret_"),
    group(Class::AWS_KEY, 12, Proof::Capitals, "AKIA ASIA ABIA ACCA"),
    group(Class::AWS_KEY, 40, Proof::Random, "ABSK bedrock-api-key-"),
    group(Class::GCP_KEY, 20, Proof::Prefix, "AIza"),
    group(Class::GCP_KEY, 12, Proof::Prefix, "ya29. GOCSPX-"),
    group(Class::GCP_KEY, 24, Proof::Random, "ya29_ APA91b GOOG1E"),
    // Words that are in no other text, so that even an invented or cut key is one.
    group(Class::VENDOR_KEY, 8, Proof::Prefix, "sk-ant- sk-proj- sk-svcacct- sk-admin- AGE-SECRET-KEY- ATATT3xFfGF0 FLWSECK_TEST"),
    // Base64 of `{"k":"`: keys of Grafana before it had service accounts.
    group(Class::VENDOR_KEY, 40, Proof::Random, "eyJrIjoi"),
    group(Class::VENDOR_KEY, 24, Proof::Base64, "fm1_ fm1a_ fm1r_ fm2_ gAAAAAB"),
    group(Class::VENDOR_KEY, 50, Proof::Random, "AKC"),
    // Seeds of NATS and Stellar: nothing else has so many capitals in a row.
    group(Class::VENDOR_KEY, 50, Proof::Capitals, "SA SB SC SD SUA SOA SNA SXA"),
    // Macaroons in base64: `001` and the length of their first part.
    group(Class::VENDOR_KEY, 60, Proof::Base64, "MDAx MDAy MDAz MDA0 MDA1"),
    // Paths of webhooks.
    group(Class::VENDOR_KEY, 4, Proof::Hook, "hooks/catch/ hooks/standard/ webhooks/"),
    group(Class::VENDOR_KEY, 16, Proof::Prefix, "hvs. hvb. hvr. dop_v1_ doo_v1_ dor_v1_ shpat_ shpca_ shppa_ shpss_ \
        shptka_ shpua_ shprt_ shpit_ shpatf_ dckr_pat_ dckr_oat_ NRAK- NRII- NRIQ- NRAA- NRRA- NRBR- ATATT3 ATCTT3 ATBB ATSTT3 ATOA"),
    group(Class::VENDOR_KEY, 24, Proof::Prefix, "SG. pypi- xkeysib- xsmtpsib-"),
    // Models, searches, agents.
    group(Class::VENDOR_KEY, 20, Proof::Random, "sk- sk_ sk-or- sk-lf- pk-lf- sk-hc- sk-let- sk-None- sk-ss- sk-litellm- \
        sk-helicone- pcsk_ gsk_ xai- pplx- hf_ api_org_ r8_ tgp_v1_ fw_ csk- nvapi- pa- al- jina_ tvly- fc- lsv2_pt_ lsv2_sk_ \
        ls__ rpa_ llx- e2b_ bb_live_ bb_test_ ak- as- m0- z_ exa_ wandb_v1_ sgamp_user_ nfp_ vcp_ vck_ nk- ssk- fal_ dsk- \
        ollama_ cla_ sk-ws- AI71-API- cog_ apk_ lmnt_ hume_ pk-ant- galileo_ aik_ key_ pl_ mem0_"),
    // Databases and queues.
    group(Class::VENDOR_KEY, 16, Proof::Random, "pscale_tkn_ pscale_oauth_ pscale_pw_ pscale_api_ napi_ sbp_ sb_secret_ \
        sb_publishable_ sbp_oauth_ xau_ CCDB1_ mdb_sa_sk_ AVNS_ dapi cflt fnAD fnAE fnAF fnED fnEE p.eyJ tbp_ aks_ \
        turso_ neon_ hdb_ nhost_ hasura_ qdrant_ essu_ pinecone_ couchbase_ mongodbatlas_ upstash_ motherduck_"),
    // Clouds, hosting, networks.
    group(Class::VENDOR_KEY, 16, Proof::Random, "rnd_ fo1_ FlyV1 nfc_ nfo_ nfb_ nfu_ vci_ vca_ vcr_ HRKU- \
        cfut_ cfat_ cfk_ v1.0- DO00 DO801 DO00A SCW EXO ucat_ LTAI AKID AKLT ALIYUN- bce-v3 tskey- tskey-auth- \
        tskey-api- tskey-client- nbp_ dnkey- ibm_ railway_ koyeb_ northflank_ zeabur_ sha256~ linode_ \
        civo_ hcloud_ UPCLOUD_ gcore_ K001 K002 K003 K004 K005 tsec_ tid_ fastly_ bunny_ zpka_ kpat_ spat_ prw_ ngrok_ inlets_ \
        cr_ ntn- okteto_ qovery_ porter_ pk_prod_ sk_prod_ dk_prod_ ptr_"),
    // Secrets managers, identity, feature flags.
    group(Class::VENDOR_KEY, 16, Proof::Random, "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. ops_ A3- pul- pat. sat. \
        bkua_ bkaj_ bkpt_ CCIPAT_ CCIPRJ_ squ_ sqp_ sqa_ snyk_uat. snyk_sat. AKCp cmVmdGtu mfa. ory_at_ \
        ory_rt_ ory_ac_ ory_st_ ory_pat_ ory_apikey_ ory_wak_ secret-live- secret-test- project-live- project-test- \
        permit_key_ unkey_ logto_ zitadel_ authentik_ kinde_ scauth_ authress_ \
        phc_ phx_ phs_ pha_ phr_ dvc_server_ dvc_client_ dvc_mobile_ flagsmith_ ser. growthbook_ dls_ ddp_ ddo_ ddw_ infisical_ \
        bws_ akeyless_ cyberark_ secret-token: nsec1 xprv yprv zprv tprv uprv vprv GITPOD_ gitpod_pat_ csb_v1_ perm: perm- \
        jbt_ sktsec_ ggtt- gg_ semgrep_ hawk. endr+ AIK_SECRET_ AIK_CI_ aikido_ phylum_ fossa_ mend_ odt_ kestra_"),
    // Registries and source.
    group(Class::VENDOR_KEY, 16, Proof::Random, "npm_ rubygems_ packagist_ CLOJARS_ jsr_ jsrd_ jsrp_ ovsxat_ ovsxp_ \
        cloudsmith_ sgp_ sgs_ slk_ sgd_ gitea_ gta_ forgejo_ bbpat_ azd_ tfp_ PMAK- PMAT- rdme_ cnvca figd_ figdr_ figu_ figoh_ \
        CFPAT- CFORG- lin_api_ lin_oauth_ lin_wh_ secret_ ntn_ nrt_ pat- pat_ patAIR key- pubkey- sec-c- pub-c- sub-c- cstk_ \
        csp_ mis_ mik_ bpk- storyblok_ webflow_ wf_ strapi_ directus_ hygraph_ prismic_ builder_ dato_ n8n_api_ retool_ \
        dbtu_ dbtc_ dbts_ pnu_ pnb_ airbyte_ hightouch_ census_ wrka wrkaus- wrkaeu- tr_dev_ tr_prod_ tr_stg_ tr_pat_ \
        signkey-prod- signkey-test- knock_ nango_ finch_ pdm_ wmill_"),
    // Money and shops.
    group(Class::VENDOR_KEY, 16, Proof::Random, "EAAA sq0atp- sq0csp- sq0idp- A21AA live_ test_ rzp_live_ \
        rzp_test_ FLWSECK- FLWSECK_TEST- FLWPUBK- FLWPUBK_TEST- klarna_live_api_ klarna_test_api_ sk_sbox_ pk_sbox_ access-production- \
        access-sandbox- access-development- public-production- link-production- APP_USR- TEST- xnd_production_ xnd_development_ xnd_public_ \
        SB-Mid-server- Mid-server- Mid-client- pdl_live_apikey_ pdl_sdbx_apikey_ pdl_ntfset_ polar_oat_ polar_at_ polar_rt_ shippo_live_ \
        shippo_test_ EZAK EZTK duffel_live_ duffel_test_ amzn.mws. amzn1.oa2-cs. amzn1.application-oa2-client. Atza| Atzr| Atna| PRD- SBX- \
        v^1.1# $aact_prod_ $aact_hmlg_ mercury_production_ mercury_sandbox_ ramp_sec_ ramp_id_ wise_ tok_live_ tok_test_ sandbox_ \
        production_ cko_ skapi_ paysafe_ pi_secret_ ck_ cs_ qb_ QB_ xero_ alcht_ QN_ helius_ moralis_ etherscan_ infura_ cg- CG- brex_ \
        bxt_ gocardless_ pay_live_ pay_test_ sumup_ sup_sk_ sup_pk_ zarinpal_ iyzico_ nuvei_ adyen_ fsq3 rvp_"),
    // Messages and mail, customers, observation.
    group(Class::VENDOR_KEY, 16, Proof::Random, "md- mlsn. mssp. re_ pk_ hubspot_ pat-na1- pat-eu1- pat-na2- CLOSE_ api_ attio_ \
        sntrys_ sntryu_ hcaik_ hcxik_ hcbik_ hcxmk_ hcamk_ hcalk_ glc_ glsa_ ddapp_ ddpat_ dt0c01. dt0s01. dt0s02. dt0s08. dt0s16. \
        xaat- xapt- xait- rootly_ fhb- incident_ os_v2_app_ os_v2_org_ courier_ novu_ svix_ CO. testsk_ telnyx_ vonage_ infobip_ \
        plivo_ sinch_ crsp_ crsr_ cio_ loops_ klaviyo_ omnisend_ braze_ iterable_ segment_ rudder_ jitsu_ mixpanel_ aio_ \
        na1. eu1. TKCAPI_ tkcapi_ checkly_ logtail_ betterstack_ m2- splunk_ lgtm_ chronosphere_ grafana_ loki_ \
        IGQV IGQVJ IGAA EAAC EAAM EAAG EAAB EAAD EAAH EAAJ EAAL fbat_ act. rft. clt. TIKTOK_ AQV AQW AQX pina_ pinr_ tgram_ \
        y0_ t1. vk1.a. AQVN YCAJE YCN YCO YCP KakaoAK lip_ RGAPI- cfxk_ mrp_ dG9r twitch_ oauth: 0x4AAAAAAA co_ luma- sl. sl.u. \
        M.R3_ M.C5 0.AX 0.AR 0.AS 0.AT 1.AX 1.AR EwA EwB EwC cal_live_ cal_ cal_test_ waka_ typeform_ tally_ calendly_ \
        7~ 3MVG9 5Aep 00D dG9rO p8e- fio-u- live_auth_ samsara_api_ rh-api- k1- seam_ atk_ tgpak_ tgpat_ tss_ vtwn_ apify_api_ \
        apify_proxy_ bu_ brd_ scp- scrape_ zyte_ BBUS- BBFF- hexnode_ jamf_ kandji_ fleetdm_ nf- NF- tomtom_ pk. sk. tk. ge-"),
    // Further ones that the hunt for leaks names.
    group(Class::VENDOR_KEY, 16, Proof::Random, "vercel_blob_rw_ AKCJ da2- fc- BBDC- WPL_AP1. v1.local. v2.local. v3.local. v4.local. \
        v1.public. v2.public. v3.public. v4.public."),
    // What a sentence or a name may also begin with: only when it cannot be a word.
    group(Class::VENDOR_KEY, 20, Proof::Random, "token_ token- secret- apikey_ apikey- api-key- access_ accesskey_ pwd_ auth_ bearer_ cred_ \
        licence_ license_ webhook_ refresh_ svc_ sat_ pst_ integration_ private_ priv_ master_ admin_ signing_ hmac_"),
    // Before what is as long as a UUID only: these are common words.
    group(Class::VENDOR_KEY, 32, Proof::Random, "sdk- api- mob- rel- client- server- st. v1."),
    group(Class::VENDOR_KEY, 40, Proof::Mixed, "00"),
    group(Class::VENDOR_KEY, 18, Proof::Mixed, "u+ y_"),
];

/// Words within the beginning of a key that tell what it is, whoever issued it: `acme_live_...`, `shop_pat_...`.
#[rustfmt::skip]
pub(super) static INNER: &[&str] = &[
    "_live_", "_test_", "_prod_", "_production_", "_sandbox_", "_staging_", "_dev_", "_pat_", "_sk_", "_rk_", "_key_", "_apikey_",
    "_api_", "_secret_", "_token_", "_sat_", "_uat_", "_oat_", "_svc_", "_sec_", "_auth_", "_priv_", "_access_", "_refresh_",
    "-live-", "-pat-", "-sk-", "-secret-", "-token-", "-apikey-",
];
