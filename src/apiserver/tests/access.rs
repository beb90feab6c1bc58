use serde_json::json;

use super::Api;

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A server with an account `app` that may read pods in `default`, and its token.
async fn with_account() -> (Api, String) {
    let api = Api::new().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}});
    assert_eq!(api.post("/api/v1/namespaces/default/serviceaccounts", account).await.code, 201);
    let binding = json!({"metadata": {"name": "b"}, "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "default"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"}});
    let role = json!({"metadata": {"name": "pods"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]});
    assert_eq!(api.post(&format!("{GROUP}/namespaces/default/roles"), role).await.code, 201);
    assert_eq!(api.post(&format!("{GROUP}/namespaces/default/rolebindings"), binding).await.code, 201);
    let path = "/api/v1/namespaces/default/serviceaccounts/app/token";
    let token = api.post(path, json!({"spec": {"expirationSeconds": 600}})).await;
    assert_eq!(token.code, 201, "{}", token.text);
    let token = token.body["status"]["token"].as_str().unwrap().to_owned();
    (api, token)
}

#[tokio::test]
async fn a_token_may_what_its_account_may() {
    let (api, token) = with_account().await;
    let bearer = format!("Bearer {token}");
    let as_app = [("authorization", bearer.as_str())];
    let code = |answer: super::Answer| answer.code;
    assert_eq!(code(api.send("GET", "/api/v1/namespaces/default/pods", &as_app, None).await), 200);
    assert_eq!(code(api.send("GET", "/apis", &as_app, None).await), 200, "everybody may discover");
    let refused = api.send("GET", "/api/v1/namespaces/default/secrets", &as_app, None).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        "secrets is forbidden: User \"system:serviceaccount:default:app\" cannot list resource \"secrets\" in API group \
         \"\" in the namespace \"default\""
    );
    assert_eq!(code(api.send("GET", "/api/v1/pods", &as_app, None).await), 403);
    let wrong = [("authorization", "Bearer no.such.token")];
    assert_eq!(code(api.send("GET", "/apis", &wrong, None).await), 401);
    // Without its account a token is nobody's.
    api.delete("/api/v1/namespaces/default/serviceaccounts/app").await;
    assert_eq!(code(api.send("GET", "/apis", &as_app, None).await), 401);
}

#[tokio::test]
async fn an_administrator_asks_as_somebody_else() {
    let (api, token) = with_account().await;
    let headers = [("impersonate-user", "system:serviceaccount:default:app")];
    assert_eq!(api.send("GET", "/api/v1/namespaces/default/pods", &headers, None).await.code, 200);
    assert_eq!(api.send("GET", "/api/v1/namespaces/default/secrets", &headers, None).await.code, 403);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("impersonate-user", "root")];
    let refused = api.send("GET", "/api/v1/namespaces/default/pods", &headers, None).await;
    assert_eq!(refused.code, 403);
    assert!(refused.message().starts_with("users \"root\" is forbidden"), "{}", refused.message());
}

#[tokio::test]
async fn reviews_answer_what_the_server_would_do() {
    let (api, token) = with_account().await;
    let review = |verb: &str, resource: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": "system:serviceaccount:default:app",
            "resourceAttributes": {"namespace": "default", "verb": verb, "resource": resource}}})
    };
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = api.post(path, review("get", "pods")).await;
    assert_eq!(answer.body["status"]["allowed"], true, "{}", answer.text);
    assert_eq!(
        answer.body["status"]["reason"],
        "RBAC: allowed by RoleBinding \"b/default\" of Role \"pods\" to ServiceAccount \"app/default\""
    );
    assert_eq!(api.post(path, review("delete", "pods")).await.body["status"], json!({"allowed": false}));

    let headers = [("impersonate-user", "system:serviceaccount:default:app")];
    let rules = json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = api.send("POST", path, &headers, Some(rules.clone())).await;
    let own = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
    assert!(answer.body["status"]["resourceRules"].as_array().unwrap().contains(&own), "{}", answer.text);
    let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let answer = api.post(path, rules).await;
    assert!(answer.body["status"]["resourceRules"].as_array().unwrap().contains(&all), "{}", answer.text);

    let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    let answer = api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(answer.body["status"]["user"]["username"], "system:serviceaccount:default:app", "{}", answer.text);
    let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "x"}});
    let answer = api.post("/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(answer.body["status"], json!({"user": {}, "error": "invalid bearer token"}));

    let who = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let answer = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who).await;
    assert_eq!(answer.body["status"]["userInfo"]["username"], "kubernetes-admin");
}

#[tokio::test]
async fn nobody_gives_what_he_does_not_have() {
    let (api, _) = with_account().await;
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]);
    let role = json!({"metadata": {"name": "writer"}, "rules": rules});
    assert_eq!(api.post(&format!("{GROUP}/namespaces/default/roles"), role).await.code, 201);
    let binding = json!({"metadata": {"name": "w"}, "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "default"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"}});
    assert_eq!(api.post(&format!("{GROUP}/namespaces/default/rolebindings"), binding).await.code, 201);
    let as_app = [("impersonate-user", "system:serviceaccount:default:app")];
    let role = |name: &str, resource: &str| {
        json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    };
    let path = format!("{GROUP}/namespaces/default/roles");
    let made = api.send("POST", &path, &as_app, Some(role("mine", "pods"))).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let refused = api.send("POST", &path, &as_app, Some(role("more", "secrets"))).await;
    assert_eq!(refused.code, 403);
    assert!(refused.message().ends_with("{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"), "{}", refused.message());
}

#[tokio::test]
async fn who_brings_no_token_from_a_pod_is_nobody() {
    let (mut api, token) = with_account().await;
    api.server = api.server.clone().for_strangers();
    let who = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    assert_eq!(api.get("/version").await.code, 200, "it is public");
    let refused = api.get("/api/v1/namespaces/default/pods").await;
    assert_eq!(refused.code, 403);
    assert!(refused.message().contains("User \"system:anonymous\" cannot list resource \"pods\""), "{}", refused.message());
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    assert_eq!(api.post(review, who.clone()).await.code, 403);
    let bearer = format!("Bearer {token}");
    let as_app = [("authorization", bearer.as_str())];
    assert_eq!(api.send("GET", "/api/v1/namespaces/default/pods", &as_app, None).await.code, 200);
    let answer = api.send("POST", review, &as_app, Some(who)).await;
    assert_eq!(answer.body["status"]["userInfo"]["username"], "system:serviceaccount:default:app", "{}", answer.text);
    // Nobody may say that he is somebody.
    let headers = [("impersonate-user", "kubernetes-admin"), ("impersonate-group", "system:masters")];
    assert_eq!(api.send("GET", "/api/v1/namespaces/default/pods", &headers, None).await.code, 403);
}
