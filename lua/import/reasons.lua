-- Why something is not carried over, by its name. What stands in none of these lists is not known here.
local reasons = {}

local function all(why, names)
  for name in names:gmatch "%S+" do reasons[name] = why end
end

all("the gateway writes a log line and metrics of its own for each request: log.requests, /metrics, webhook", [[
  callbacks success_callback failure_callback service_callbacks callback_settings langfuse_default_tags turn_off_message_logging
  redact_user_api_key_info redact_messages_in_exceptions json_logs set_verbose debug_level alerting alert_types alerting_threshold alerting_args
  alert_to_webhook_url spend_report_frequency disable_spend_logs disable_spend_updates store_prompts_in_spend_logs maximum_spend_logs_retention_period
  maximum_spend_logs_retention_interval store_audit_logs audit_log_callbacks disable_error_logs debug disable_end_user_cost_tracking
  disable_end_user_cost_tracking_prometheus_only default_team_settings s3_callback_params datadog_params langsmith_batch_size
  prometheus_initialize_budget_metrics require_auth_for_metrics_endpoint cost_discount_config custom_prometheus_metadata_labels
  prometheus_metrics_config]])
all("keys are made one by one, with models, rates and a budget: lunette key create NAME budget.limit=USD budget.per=month", [[
  default_key_generate_params upperbound_key_generate_params key_generation_settings custom_key_generate default_internal_user_params
  default_team_params max_internal_user_budget internal_user_budget_duration default_team_disabled allow_user_auth default_max_internal_user_budget]])
all("a budget for some users is a tag of budgets.tags, charged by the policy (lunette.charge)", [[
  max_end_user_budget_id default_end_user_params extra_spend_tag_headers tag_budget_config max_user_budget]])
all("there is no database: keys, spend and versions are kept in files beside gateway.lua", [[
  database_url database_connection_pool_limit database_connection_timeout database_type database_args store_model_in_db
  allow_requests_on_db_unavailable disable_prisma_schema_update proxy_batch_write_at proxy_batch_polling_interval proxy_budget_rescheduler_min_time
  proxy_budget_rescheduler_max_time supported_db_objects user_api_key_cache_ttl disable_reset_budget disable_adding_master_key_hash_to_db
  disable_master_key_return use_redis_transaction_buffer]])
all("who may ask is a key (clients, lunette key)", [[
  custom_auth enable_jwt_auth litellm_jwtauth enable_oauth2_auth enable_oauth2_proxy_auth oauth2_config_mappings custom_sso litellm_key_header_name
  allowed_ips allowed_routes admin_only_routes public_routes ui_access_mode service_account_settings custom_ui_sso_sign_in_handler role_permissions
  role_mappings jwt_auth]])
all("secrets come from the environment, systemd's credentials or /run/secrets", [[
  key_management_system key_management_settings use_azure_key_vault use_google_kms use_aws_secret_manager]])
all("what is asked or answered is not looked into; a policy can refuse it", [[
  guardrails guardrail_list enforce_user_param enforced_params banned_keywords_list blocked_user_list llmguard_mode pii_masking
  prompt_injection_params moderation_model reject_clientside_metadata_tags policies policy_attachments]])
all("the gateway has no endpoint for it", [[
  mcp_servers mcp_aliases mcp_tools finetune_settings files_settings assistant_settings pass_through_endpoints vector_store_registry search_tools
  vector_stores prompts agents image_generation_model toolsets mcp_semantic_tool_filter assistants_config skills]])
all("a request goes as it came: what a provider does not take, it refuses", [[
  drop_params modify_params additional_drop_params allowed_openai_params add_function_to_prompt merge_reasoning_content_in_choices
  enable_json_schema_validation cache_control_injection_points use_chat_completions_url_for_anthropic_messages disable_copilot_system_to_assistant
  disable_add_transform_inline_image_block use_chat_completions_api supports_system_message]])
all("a test of a model is `lunette check --keys`, or `probe` of a provider", [[
  background_health_checks health_check_interval health_check_details health_check_model health_check_timeout enable_health_check_routing
  health_check_concurrency disable_background_health_check health_check_voice health_check_max_tokens]])
all("num_retries says how often it is tried again", "max_retries")
all("the address is that of version 1 of the interface, which has none", "api_version api_type azure_ad_token")
all("it is only a name", "id description db_model updated_at created_at created_by updated_by team_id team_public_model_name")
all("prices are those of input_cost_per_token and output_cost_per_token, or of the file `prices` under the provider's own name of the model", "base_model")
all("prices are per token", [[
  input_cost_per_second output_cost_per_second input_cost_per_character output_cost_per_character input_cost_per_image output_cost_per_image
  input_cost_per_pixel output_cost_per_pixel input_cost_per_query]])
all("there is none of it here", [[
  telemetry litellm_license ui_theme_config custom_swagger use_aiohttp_transport force_ipv4 aiohttp_trust_env disable_aiohttp_transport]])
all("which deployments a request may use is decided by the policy: request.tags, target.facts", [[
  tags enable_tag_filtering tag_filtering_match_any access_groups region_name enable_region_routing model_group_settings allow_client_side_credentials
  configurable_clientside_auth_params supported_environments]])
all("a policy orders requests, and `class` lets batch work wait", "default_priority polling_interval scheduler priority")
all("how many at once is `connections` of a provider, `limits.connections` of all", [[
  max_parallel_requests global_max_parallel_requests default_max_parallel_requests parallel_request_limit]])
all("how many failures take a target out is one number: health.failures", "allowed_fails_policy")
all("what holds, holds for all models: it is said in router_settings", "model_group_retry_policy num_retries cooldown_time retry_policy fallbacks")
all("the strategy has no such options", "routing_strategy_args")
all("what is said for a target is said at each", "default_litellm_params")
all("no header of a client goes to a provider", "forward_client_headers_to_llm_api forward_openai_org_id forward_traceparent_to_llm_provider")
all("sessions and prompt caches: a policy can use strategies.sticky", "optional_pre_call_checks deployment_affinity_ttl_seconds")
all("a model is asked for by name; `auto` leaves it to the policy", "completion_model embedding_model infer_model_from_keys model_alias_map")
all("a request is authenticated by the provider's key alone", [[
  aws_access_key_id aws_secret_access_key aws_region_name vertex_project vertex_location vertex_credentials tenant_id client_id client_secret]])
all("the cache is in memory, and with cache.redis in the Redis of `redis`, for all endpoints", [[
  redis_startup_nodes service_name sentinel_nodes host port password username namespace max_connections supported_call_types redis_flush_size
  default_in_redis_ttl default_in_memory_ttl ssl ssl_cert_reqs ssl_check_hostname db similarity_threshold redis_semantic_cache_embedding_model url]])
all("what two settings say of one thing is said here once", [[
  cache_responses caching_groups client_ttl cache_kwargs ignore_invalid_deployments router_general_settings]])
all("the gateway asks models, and calls no tools for them", [[
  websearch_interception_params code_interpreter_interception_params sandbox_tools advisor_interception_params]])
all("the text goes on as it came, usage too", "include_cost_in_streaming_usage")
all("it belongs to a limit that is not said", "budget_duration budget_limit time_period")
all("who uses it is the `user` of the body", "user_header_name user_header_mappings")
all("fields of the body that are lists or maps are not set", "thinking extra_body response_format tools tool_choice metadata stop logit_bias")
all("there is no console; the admin listener has its own page", "server_root_path docs_url proxy_base_url ui_logo_path")

function reasons.why(name) return type(reasons[name]) == "string" and reasons[name] or nil end

return reasons
