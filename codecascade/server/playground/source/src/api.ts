// The server's HTTP surface, as far as the page uses it. Its answers are not trusted to have the right form.
import { apiKey } from "./settings";
import { events } from "./sse";

/** Why a request has no answer. */
export type Trouble =
  | "gone" // there is no connection
  | "key" // a key is wanted, or another one
  | "busy" // too many requests
  | "closing" // the server is about to end, or loads its model
  | "infilling" // the model can't infill
  | "refused" // the request is at fault
  | "broken"; // the server is at fault

export class ServerError extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
  ) {
    super(message);
  }
}

export interface Model {
  name: string;
  context: number;
  canInfill: boolean;
  canChat: boolean;
  formats: string[];
}

export interface Gap {
  prefix: string;
  suffix: string;
  language: string;
  extent: "line" | "block" | "model";
  format: string;
  temperature: number;
  maxTokens: number;
}

export interface Timings {
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
  tokensPerSecond: number;
  truncated: boolean;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** Characters around the cursor that are sent; the server leaves out what the model has no room for. */
const BEFORE = 48_000;
const AFTER = 24_000;

export async function isHealthy(signal?: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch("health", { signal, cache: "no-store" });
    return response.ok;
  } catch {
    return false;
  }
}

export async function describeModel(signal?: AbortSignal): Promise<Model> {
  const models: any = await (await request("v1/models", { signal })).json();
  const props: any = await (await request("props", { signal })).json();
  const first = models?.data?.[0];
  const formats = props?.infilling_formats;
  return {
    name: String(first?.id ?? props?.model_alias ?? "model"),
    context: Number(first?.max_model_len) || 0,
    canInfill: first?.capabilities?.completion_fim !== false,
    canChat: first?.capabilities?.completion_chat !== false,
    formats: Array.isArray(formats) ? formats.map(String) : [],
  };
}

/** Fill a gap; `onText` gets each piece as it comes. */
export async function infill(
  gap: Gap,
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<Timings> {
  const line = gap.prefix.lastIndexOf("\n") + 1;
  const body: Record<string, unknown> = {
    input_prefix: gap.prefix.slice(Math.max(0, gap.prefix.length - BEFORE), line),
    prompt: gap.prefix.slice(Math.max(line, gap.prefix.length - BEFORE)),
    input_suffix: gap.suffix.slice(0, AFTER),
    n_predict: gap.maxTokens,
    temperature: gap.temperature,
    editor_stops: gap.extent !== "model",
    language: gap.language,
    cache_prompt: true,
    stream: true,
  };
  if (gap.extent === "line") body.editor_lines = "single";
  if (gap.format) body.format = gap.format;
  let last: any = {};
  for await (const event of await stream("infill", body, signal)) {
    if (typeof event?.content === "string" && event.content) onText(event.content);
    if (event?.stop) last = event;
  }
  return {
    tokens: Number(last.tokens_predicted) || 0,
    promptTokens: Number(last.tokens_evaluated) || 0,
    cachedTokens: Number(last.timings?.cache_n) || 0,
    tokensPerSecond: Number(last.timings?.predicted_per_second) || 0,
    truncated: Boolean(last.truncated),
  };
}

export interface Reply {
  tokens: number;
  finish: string;
}

/** Reply to a dialogue; `onText` gets each piece as it comes. */
export async function chat(
  messages: ChatMessage[],
  options: { temperature: number; maxTokens: number },
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<Reply> {
  const body = {
    messages,
    temperature: options.temperature,
    max_tokens: options.maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  };
  const reply: Reply = { tokens: 0, finish: "" };
  for await (const event of await stream("v1/chat/completions", body, signal)) {
    const choice = event?.choices?.[0];
    if (typeof choice?.delta?.content === "string") onText(choice.delta.content);
    if (choice?.finish_reason) reply.finish = String(choice.finish_reason);
    if (event?.usage) reply.tokens = Number(event.usage.completion_tokens) || 0;
  }
  if (!reply.finish) throw new ServerError("broken", "The reply broke off.");
  return reply;
}

async function stream(
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<AsyncGenerator<any>> {
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  return parsed(response, signal);
}

async function* parsed(response: Response, signal: AbortSignal): AsyncGenerator<any> {
  if (!response.body) return;
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const event: any = JSON.parse(data);
      // An error behind the first byte can have no status any more.
      if (event?.error) throw new ServerError("broken", messageOf(event) || "The answer broke off.");
      yield event;
    }
  } catch (error) {
    if (error instanceof ServerError || signal.aborted) throw error;
    throw new ServerError("gone", "The connection to the server was lost.");
  }
}

async function request(path: string, options: RequestInit): Promise<Response> {
  const headers = withKey(options.headers);
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ServerError("gone", "The server does not answer.");
  }
  if (response.ok) return response;
  let message = "";
  try {
    message = messageOf(await response.json());
  } catch {
    // A proxy's error page is no JSON.
  }
  throw new ServerError(troubleOf(response.status), message || `The server answered ${response.status}.`);
}

/** Headers with the key; it throws where the key holds characters that no header takes, so that it can't be right. */
function withKey(given: HeadersInit | undefined): Headers {
  const headers = new Headers(given);
  const key = apiKey();
  try {
    if (key) headers.set("Authorization", `Bearer ${key}`);
  } catch {
    throw new ServerError("key", "The key holds characters that no key has.");
  }
  return headers;
}

function troubleOf(status: number): Trouble {
  if (status === 401) return "key";
  if (status === 429) return "busy";
  if (status === 501) return "infilling";
  if (status === 503) return "closing";
  if (status === 502 || status === 504) return "gone";
  return status < 500 ? "refused" : "broken";
}

function messageOf(body: any): string {
  const error = body?.error ?? body;
  const message = typeof error === "string" ? error : error?.message;
  if (typeof message !== "string") return "";
  return message.charAt(0).toUpperCase() + message.slice(1, 500);
}
