import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  createPublicClient,
  createWalletClient,
  encodeAbiParameters,
  type Hex,
  http,
  keccak256,
  multicall3Abi,
  parseAbi,
  parseAbiParameters,
  parseSignature,
  toHex,
} from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base, baseSepolia } from 'viem/chains';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { failOnLeaks } from '../support/leak-check.ts';

failOnLeaks();

const MULTICALL3 = '0xcA11bde05977b3631167028862bE2a173976CA11';

const TOKEN = parseAbi([
  'function name() view returns (string)',
  'function symbol() view returns (string)',
  'function version() view returns (string)',
  'function decimals() view returns (uint8)',
  'function totalSupply() view returns (uint256)',
  'function balanceOf(address) view returns (uint256)',
  'function DOMAIN_SEPARATOR() view returns (bytes32)',
  'function authorizationState(address, bytes32) view returns (bool)',
  'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  'function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)',
  'event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
]);

const TRANSFER_TYPES = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const;

const EXPECTED = {
  8453: { address: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', name: 'USD Coin' },
  84532: { address: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', name: 'USDC' },
} as const;

for (const chainId of [8453, 84532] as const) {
  describe(`the local chain ${chainId}`, () => {
    let devnet: EvmDevnet;
    before(async () => {
      devnet = await startEvmDevnet({ chainId });
    });
    after(() => devnet.close());

    const reader = () =>
      createPublicClient({ transport: http(devnet.rpcUrl), pollingInterval: 10, cacheTime: 0 });
    const account = (index: number) =>
      privateKeyToAccount(devnet.accounts[index]?.privateKey ?? '0x');
    const domain = () => ({
      name: EXPECTED[chainId].name,
      version: '2',
      chainId,
      verifyingContract: EXPECTED[chainId].address,
    });
    const sender = () =>
      createWalletClient({
        account: account(11),
        chain: chainId === 8453 ? base : baseSepolia,
        transport: http(devnet.rpcUrl),
      });

    async function authorize(value: bigint) {
      const message = {
        from: account(0).address,
        to: account(1).address,
        value,
        validAfter: 0n,
        validBefore: 2n ** 40n,
        nonce: `0x${randomBytes(32).toString('hex')}` as Hex,
      };
      const signature = await account(0).signTypedData({
        domain: domain(),
        types: TRANSFER_TYPES,
        primaryType: 'TransferWithAuthorization',
        message,
      });
      return { ...message, signature };
    }

    it('has the chain id, the token address and at least ten accounts with USDC and ETH', async () => {
      assert.equal(devnet.network, `eip155:${chainId}`);
      assert.equal(devnet.asset, EXPECTED[chainId].address);
      assert.equal(await reader().getChainId(), chainId);
      assert.equal(devnet.accounts.length, 12);
      for (const { address, privateKey } of devnet.accounts) {
        assert.equal(privateKeyToAccount(privateKey).address, address);
        assert.ok((await devnet.usdcBalance(address)) >= 1_000_000_000n);
        assert.ok((await reader().getBalance({ address })) >= 10n ** 18n);
        assert.equal(await reader().getCode({ address }), undefined);
      }
    });

    it('answers for USDC as the public chain does: name, symbol, version, decimals and EIP-712 domain', async () => {
      const read = (functionName: 'name' | 'symbol' | 'version' | 'decimals') =>
        reader().readContract({ address: devnet.asset, abi: TOKEN, functionName });
      assert.equal(await read('name'), EXPECTED[chainId].name);
      assert.equal(await read('symbol'), 'USDC');
      assert.equal(await read('version'), '2');
      assert.equal(await read('decimals'), 6);
      const separator = await reader().readContract({
        address: devnet.asset,
        abi: TOKEN,
        functionName: 'DOMAIN_SEPARATOR',
      });
      assert.equal(separator, domainSeparator(domain()));
    });

    it('moves exactly the amount of a transferWithAuthorization that viem signed, once', async () => {
      const value = 1_234_567n;
      const { from, to, validAfter, validBefore, nonce, signature } = await authorize(value);
      const [fromBefore, toBefore] = [await devnet.usdcBalance(from), await devnet.usdcBalance(to)];
      const call = {
        address: devnet.asset,
        abi: TOKEN,
        functionName: 'transferWithAuthorization',
        args: [from, to, value, validAfter, validBefore, nonce, signature],
      } as const;
      const hash = await sender().writeContract(call);
      const receipt = await reader().waitForTransactionReceipt({ hash });
      assert.equal(receipt.status, 'success');
      assert.equal(await devnet.usdcBalance(from), fromBefore - value);
      assert.equal(await devnet.usdcBalance(to), toBefore + value);
      const used = await reader().getContractEvents({
        address: devnet.asset,
        abi: TOKEN,
        eventName: 'AuthorizationUsed',
        args: { authorizer: from, nonce },
        fromBlock: 0n,
      });
      assert.equal(used.length, 1);
      await assert.rejects(sender().writeContract(call), /authorization is used or canceled/);
      await assert.rejects(
        reader().simulateContract({
          ...call,
          account: account(11),
          args: [from, to, value + 1n, validAfter, validBefore, `0x${'11'.repeat(32)}`, signature],
        }),
        /invalid signature/,
      );
    });

    it('refuses an authorization after its payer cancelled it', async () => {
      const { from, to, value, validAfter, validBefore, nonce, signature } = await authorize(5n);
      const cancel = await account(0).signTypedData({
        domain: domain(),
        types: {
          CancelAuthorization: [
            { name: 'authorizer', type: 'address' },
            { name: 'nonce', type: 'bytes32' },
          ],
        },
        primaryType: 'CancelAuthorization',
        message: { authorizer: from, nonce },
      });
      const { r, s, yParity } = parseSignature(cancel);
      const hash = await sender().writeContract({
        address: devnet.asset,
        abi: TOKEN,
        functionName: 'cancelAuthorization',
        args: [from, nonce, 27 + yParity, r, s],
      });
      await reader().waitForTransactionReceipt({ hash });
      const state = await reader().readContract({
        address: devnet.asset,
        abi: TOKEN,
        functionName: 'authorizationState',
        args: [from, nonce],
      });
      assert.equal(state, true);
      await assert.rejects(
        sender().writeContract({
          address: devnet.asset,
          abi: TOKEN,
          functionName: 'transferWithAuthorization',
          args: [from, to, value, validAfter, validBefore, nonce, signature],
        }),
        /authorization is used or canceled/,
      );
    });

    it('runs Multicall3 at its canonical address', async () => {
      const results = await reader().multicall({
        multicallAddress: MULTICALL3,
        allowFailure: false,
        contracts: [
          { address: devnet.asset, abi: TOKEN, functionName: 'decimals' },
          {
            address: devnet.asset,
            abi: TOKEN,
            functionName: 'balanceOf',
            args: [account(2).address],
          },
          { address: MULTICALL3, abi: multicall3Abi, functionName: 'getCurrentBlockTimestamp' },
        ],
      });
      assert.equal(results[0], 6);
      assert.equal(results[1], 10_000_000_000n);
      assert.ok(Math.abs(Number(results[2]) - Date.now() / 1000) < 5);
    });

    it('mints what it is asked for, also when asked many times at once', async () => {
      const { address } = account(3);
      const balance = await devnet.usdcBalance(address);
      await Promise.all(Array.from({ length: 10 }, () => devnet.mint(address, 7n)));
      assert.equal(await devnet.usdcBalance(address), balance + 70n);
      await assert.rejects(
        devnet.mint('0x0000000000000000000000000000000000000000', 1n),
        /issuer failed|zero address/,
      );
      await devnet.mint(address, 1n);
      assert.equal(await devnet.usdcBalance(address), balance + 71n);
    });

    it('mines each transaction at once while chain time stays on the wall clock', async () => {
      const wallet = sender();
      const first = await reader().getTransactionCount({ address: wallet.account.address });
      const startMs = Date.now();
      for (let index = 0; index < 30; index++) {
        const hash = await wallet.sendTransaction({
          to: account(4).address,
          value: 1n,
          nonce: first + index,
          gas: 21_000n,
          maxFeePerGas: 10n ** 10n,
          maxPriorityFeePerGas: 1n,
        });
        await reader().waitForTransactionReceipt({ hash });
      }
      // Mining by the clock alone would take 30 seconds.
      assert.ok(Date.now() - startMs < 15_000, `30 transactions took ${Date.now() - startMs} ms`);
      const { timestamp } = await reader().getBlock();
      const aheadSeconds = Number(timestamp) - Date.now() / 1000;
      assert.ok(aheadSeconds <= 2 && aheadSeconds > -10, `chain time is ${aheadSeconds} s ahead`);
    });

    it('mines empty blocks by itself, so that chain time goes on', async () => {
      const client = reader();
      const start = await client.getBlockNumber();
      await new Promise<void>((resolve) => {
        const stop = client.watchBlockNumber({
          onBlockNumber(block) {
            if (block < start + 1n) return;
            stop();
            resolve();
          },
        });
      });
    });
  });
}

interface Domain {
  readonly name: string;
  readonly version: string;
  readonly chainId: number;
  readonly verifyingContract: Hex;
}

/** EIP-712 `hashStruct(eip712Domain)`, spelled out. */
function domainSeparator({ name, version, chainId, verifyingContract }: Domain): Hex {
  const type = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)';
  const fields = parseAbiParameters('bytes32, bytes32, bytes32, uint256, address');
  const values = [hash(type), hash(name), hash(version), BigInt(chainId), verifyingContract];
  return keccak256(encodeAbiParameters(fields, values as [Hex, Hex, Hex, bigint, Hex]));
}

function hash(text: string): Hex {
  return keccak256(toHex(text));
}
