#!/usr/bin/env bash
# GPU 노드를 안전하게 비운다. 답변을 생성 중인 요청이 끝날 때까지 기다린 뒤 파드를 내보낸다.
#
# 사용법: drain_gpu_node.sh CLUSTER NODE [--force]
#   CLUSTER  byeol-prod, byeol-stage, byeol-lab 가운데 하나
#   NODE     kubectl get nodes에 나오는 이름
#   --force  대기 시간이 지나도 끝나지 않은 요청을 버린다. SEV1에서만 쓴다.
#
# 종료 코드: 0 성공, 2 잘못된 인자, 4 여유 노드 없음, 5 대기 시간 초과
set -euo pipefail

cluster="${1:?클러스터 이름이 필요하다}"
node="${2:?노드 이름이 필요하다}"
force="${3:-}"

# 긴 계약서 요약은 6분 가까이 걸린다. 그보다 조금 길게 기다린다.
drain_timeout_seconds=420

case "$cluster" in
  byeol-prod | byeol-stage | byeol-lab) ;;
  *) echo "모르는 클러스터: $cluster" >&2; exit 2 ;;
esac

k() { kubectl --context "$cluster" "$@"; }

# 같은 풀에 Ready 상태인 노드가 둘 이상 있어야 한다. 마지막 노드를 비우면 서비스가 멈춘다.
pool="$(k get node "$node" -o jsonpath='{.metadata.labels.karpenter\.sh/nodepool}')"
ready="$(k get nodes -l "karpenter.sh/nodepool=$pool" --no-headers | awk '$2 == "Ready"' | wc -l)"
if [ "$ready" -lt 2 ] && [ "$force" != "--force" ]; then
  echo "$pool 풀에 Ready 노드가 ${ready}개뿐이다. 먼저 노드를 늘린다." >&2
  exit 4
fi

echo "1/3 $node 노드에 새 파드가 올라오지 못하게 막는다"
k cordon "$node"

echo "2/3 실행 중인 요청이 끝나기를 기다린다 (최대 ${drain_timeout_seconds}초)"
waited_seconds=0
# 요청 수는 vLLM의 vllm:num_requests_running 지표에서 읽는다.
running_requests() {
  k -n serving get pods --field-selector "spec.nodeName=$node" -o name |
    while read -r pod; do
      k -n serving exec "$pod" -- curl -s localhost:8000/metrics
    done | awk '/^vllm:num_requests_running/ { total += $2 } END { print total + 0 }'
}
while [ "$(running_requests)" -gt 0 ]; do
  if [ "$waited_seconds" -ge "$drain_timeout_seconds" ]; then
    [ "$force" = "--force" ] && break
    echo "요청이 끝나지 않았다. 노드는 cordon 상태로 남겨 둔다." >&2
    exit 5
  fi
  sleep 10
  waited_seconds=$((waited_seconds + 10))
done

echo "3/3 파드를 내보낸다"
# DaemonSet 파드는 노드와 함께 사라지므로 건드리지 않는다.
k drain "$node" --ignore-daemonsets --delete-emptydir-data --grace-period=60

# NodeClaim은 지우지 않는다. 지우는 것은 사람이 런북을 보고 결정한다.
echo "끝났다. 런북의 3단계에 따라 NodeClaim을 삭제한다."
