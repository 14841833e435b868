-- LiteLLM's names of providers: where each is, and in which variable its key is looked for when nothing is said. Only those that speak OpenAI's interface,
-- or have an address of theirs that does.
--   base   its address; or base_from: the variable that says it, where the configuration does not; neither: the configuration has to
--   key    the variable of its key; optional: there may be none
--   behind what an api_base that is said has to be followed by, as LiteLLM puts its own paths behind it
--   note   what is different by that address
--   free   it runs on machines of one's own: nothing is paid by the token
--   model  a function of the model's name that gives the provider's name for it
local providers = {}

local list = {
  openai = { base = "https://api.openai.com/v1", key = "OPENAI_API_KEY" },
  azure = { base_from = "AZURE_API_BASE", key = "AZURE_API_KEY", behind = "/openai/v1" },
  anthropic = { base = "https://api.anthropic.com/v1", key = "ANTHROPIC_API_KEY", behind = "/v1",
                note = "asked by Anthropic's OpenAI-compatible interface, which has no prompt caching and not all of the Messages API" },
  groq = { base = "https://api.groq.com/openai/v1", key = "GROQ_API_KEY" },
  mistral = { base = "https://api.mistral.ai/v1", key = "MISTRAL_API_KEY" },
  codestral = { base = "https://codestral.mistral.ai/v1", key = "CODESTRAL_API_KEY" },
  deepseek = { base = "https://api.deepseek.com/v1", key = "DEEPSEEK_API_KEY" },
  together_ai = { base = "https://api.together.xyz/v1", key = "TOGETHERAI_API_KEY" },
  openrouter = { base = "https://openrouter.ai/api/v1", key = "OPENROUTER_API_KEY" },
  fireworks_ai = { base = "https://api.fireworks.ai/inference/v1", key = "FIREWORKS_API_KEY",
                   model = function(name) return (name:find "^accounts/" or name:find "#") and name or "accounts/fireworks/models/" .. name end },
  xai = { base = "https://api.x.ai/v1", key = "XAI_API_KEY" },
  gemini = { base = "https://generativelanguage.googleapis.com/v1beta/openai", key = "GEMINI_API_KEY", own = true,
             note = "asked by Google's OpenAI-compatible interface" },
  perplexity = { base = "https://api.perplexity.ai", key = "PERPLEXITYAI_API_KEY" },
  cohere = { base = "https://api.cohere.ai/compatibility/v1", key = "COHERE_API_KEY", own = true, note = "asked by Cohere's OpenAI-compatible interface" },
  cerebras = { base = "https://api.cerebras.ai/v1", key = "CEREBRAS_API_KEY" },
  sambanova = { base = "https://api.sambanova.ai/v1", key = "SAMBANOVA_API_KEY" },
  nvidia_nim = { base = "https://integrate.api.nvidia.com/v1", key = "NVIDIA_NIM_API_KEY" },
  deepinfra = { base = "https://api.deepinfra.com/v1/openai", key = "DEEPINFRA_API_KEY" },
  moonshot = { base = "https://api.moonshot.ai/v1", key = "MOONSHOT_API_KEY" },
  dashscope = { base = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", key = "DASHSCOPE_API_KEY" },
  volcengine = { base = "https://ark.cn-beijing.volces.com/api/v3", key = "VOLCENGINE_API_KEY" },
  zai = { base = "https://api.z.ai/api/paas/v4", key = "ZAI_API_KEY" },
  nebius = { base = "https://api.studio.nebius.ai/v1", key = "NEBIUS_API_KEY" },
  novita = { base = "https://api.novita.ai/v3/openai", key = "NOVITA_API_KEY" },
  hyperbolic = { base = "https://api.hyperbolic.xyz/v1", key = "HYPERBOLIC_API_KEY" },
  meta_llama = { base = "https://api.llama.com/compat/v1", key = "LLAMA_API_KEY" },
  github = { base = "https://models.inference.ai.azure.com", key = "GITHUB_API_KEY" },
  databricks = { base_from = "DATABRICKS_API_BASE", key = "DATABRICKS_API_KEY" },
  litellm_proxy = { base_from = "LITELLM_PROXY_API_BASE", key = "LITELLM_PROXY_API_KEY" },
  ollama = { base = "http://localhost:11434/v1", key = "OLLAMA_API_KEY", optional = true, behind = "/v1", free = true },
  hosted_vllm = { base_from = "HOSTED_VLLM_API_BASE", key = "HOSTED_VLLM_API_KEY", optional = true, free = true },
  lm_studio = { base_from = "LM_STUDIO_API_BASE", key = "LM_STUDIO_API_KEY", optional = true, free = true },
  huggingface = { key = "HF_TOKEN", optional = true, behind = "/v1", note = "asked by the OpenAI-compatible interface of text-generation-inference" },
  llamafile = { base = "http://127.0.0.1:8080/v1", key = "LLAMAFILE_API_KEY", optional = true, free = true },
  xinference = { base = "http://127.0.0.1:9997/v1", key = "XINFERENCE_API_KEY", optional = true, free = true },
}
local same = { text_completion_openai = "openai", ["text-completion-openai"] = "openai", azure_text = "azure", ollama_chat = "ollama", cohere_chat = "cohere",
               custom_openai = "openai", openai_like = "openai", ["text-completion-codestral"] = "codestral", anthropic_text = "anthropic" }

-- Whose a model is that is named without its provider.
local begins = { { "gpt-", "openai" }, { "chatgpt-", "openai" }, { "o1", "openai" }, { "o3", "openai" }, { "o4", "openai" }, { "text-embedding-", "openai" },
                 { "davinci", "openai" }, { "babbage", "openai" }, { "ft:gpt-", "openai" }, { "claude-", "anthropic" }, { "command-", "cohere" } }

-- Providers that LiteLLM knows and that speak an interface of their own: so that a model's name is not taken for one of OpenAI's.
providers.foreign = {}
for name in ([[bedrock bedrock_converse vertex_ai vertex_ai_beta sagemaker sagemaker_chat azure_ai replicate watsonx watsonx_text palm
  cloudflare oci snowflake predibase triton vllm nlp_cloud aleph_alpha petals clarifai ai21 ai21_chat jina_ai voyage infinity github_copilot gigachat
  sap oobabooga maritalk topaz bytez assemblyai deepgram elevenlabs recraft stability runwayml aiml custom auto_router]]):gmatch "%S+" do
  providers.foreign[name] = true
end

-- What LiteLLM makes of `model` and `custom_llm_provider`: the entry, LiteLLM's name of the provider, the model's name there; or nil and why not.
function providers.of(model, custom)
  local prefix, rest = model:match "^([^/]+)/(.+)$"
  if custom then
    if prefix == custom then model = rest end
    prefix, rest = custom, model
  end
  local name = prefix and (same[prefix] or prefix)
  local entry = name and list[name]
  if entry then return entry, name, entry.model and not rest:find("*", 1, true) and entry.model(rest) or rest end
  if prefix and providers.foreign[prefix] then return nil, ("%s speaks an interface for which no dialect comes along"):format(prefix) end
  for _, one in ipairs(begins) do
    if model:sub(1, #one[1]) == one[1] then return list[one[2]], one[2], model end
  end
  if model == "*" then return nil, "it stands for all of LiteLLM's providers: one entry for each (openai/*, …) is wanted" end
  if prefix then return nil, ("%s is no provider that is known here"):format(prefix) end
  return nil, "its provider is not named (provider/model)"
end

return providers
