import type { ServiceImpl } from "@connectrpc/connect";
import type {
  DispatchReceiptRequest,
  FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";

type Dependencies = {
  readonly receipts: { dispatch(notice: DispatchReceiptRequest): Promise<void> };
};

/** Keeps a person's read position, and tells whom it concerns. */
export function createDispatchReceipt({
  receipts,
}: Dependencies): ServiceImpl<typeof FanoutService>["dispatchReceipt"] {
  return async (request) => {
    await receipts.dispatch(request);
    return {};
  };
}
