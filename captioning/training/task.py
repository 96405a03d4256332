"""One stage of training as a Lightning module: the loss, the optimizer, and a dev split that is really decoded."""

from collections.abc import Callable
from functools import partial
from statistics import fmean
from typing import Any, cast

import lightning
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchmetrics import MeanMetric

from captioning.data.batches import Batch
from captioning.evaluation.diversity import diversity
from captioning.evaluation.metrics import attention_movement, bleu, cider, geometric_mean
from captioning.inference.beam_search import beam_search
from captioning.inference.options import SearchOptions
from captioning.inference.torch_backend import TorchBackend
from captioning.model.model import CaptioningModel
from captioning.training.fake_quantization import FakeQuantized
from captioning.training.settings import StageSettings
from captioning.vocabulary import PAD, Vocabulary

GREEDY = SearchOptions(beam_size=1)


class CaptioningTask(lightning.LightningModule):
    """Teacher forcing on cached features, or on pixels where blocks of the encoder are trained too.

    The captions of the dev split are generated greedily after every epoch.

    Logs `train_loss`, `valid_loss` (cross-entropy alone, so that settings can be compared), `top5` (share of
    reference words among the five likeliest), what `score_dev` gives, and what tells whether captions are sound: mean
    `words`, numbers of `distinct` captions and `distinct_words`, and the mean `movement` of the attention.

    Args:
        model: the model to train.
        vocabulary: its words.
        settings: of the stage.
        references: for every dev photo its tokenized captions.
        places: for every data set the places of its dev photos.
        steps_per_epoch: of the optimizer.
        seed: of dropout.
    """

    # What is logged of the train split.
    measure = "train_loss"

    def __init__(
        self,
        model: CaptioningModel,
        vocabulary: Vocabulary,
        settings: StageSettings,
        references: list[list[list[str]]],
        places: dict[str, range],
        steps_per_epoch: int,
        seed: int,
    ):
        super().__init__()
        self.model, self.vocabulary, self.settings = model, vocabulary, settings
        _compute_depthwise_in_float32(model.encoder)
        self.references, self.places = references, places
        self.steps_per_epoch, self.seed = steps_per_epoch, seed
        # Lightning's learning-rate finder reads and sets it here.
        self.learning_rate = settings.learning_rate
        self._ema = _ema_of(model, settings.ema_decay)
        # Part of the state, so that a run resumed in the middle of an epoch reports the whole of it.
        self._measured = MeanMetric()
        self._measured.persistent(True)
        self._generated: dict[int, list[str]] = {}
        # Of the last epoch, by name.
        self.dev_scores: dict[str, float] = {}

    @property
    def scored_model(self) -> CaptioningModel:
        """The model whose captions are scored and that is kept: the EMA, where there is one."""
        return cast(CaptioningModel, self._ema.module) if self._ema else self.model

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # A state saved at the end of an epoch still holds what that epoch measured.
        if batch_index == 0:
            self._measured.reset()
        # Each step has its own seed, so that a resumed run draws what an uninterrupted one does.
        torch.manual_seed((self.seed * 1_000_003 + self.global_step) * self.trainer.world_size + self.global_rank)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        loss, measured = self.training_loss(batch)
        self._measured.update(measured.detach(), weight=len(batch.indices))
        self.log(self.measure, self._measured, on_step=False, on_epoch=True)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.indices))
        return loss

    def training_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss to minimise, and the measure to report."""
        forcing = self.settings.teacher_forcing_at(self.current_epoch)
        hidden, attention = self.model.decoder(self.features(batch), batch.captions, forcing)
        targets = batch.captions[:, :, 1:]
        words = targets != PAD
        logits = self.model.decoder.predict(hidden[words]).float()
        loss = functional.cross_entropy(logits, targets[words], label_smoothing=self.settings.label_smoothing)
        return loss + self.settings.attention_weight * doubly_stochastic_penalty(attention, targets), loss

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        super().optimizer_step(*arguments, **named)
        # Here, because a state may be saved right after the step.
        if self._ema:
            self._ema.update_parameters(self.model)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        model = self.scored_model
        features = self.features(batch)
        hidden, _ = model.decoder(features, batch.captions)
        words = batch.captions[:, :, 1:] != PAD
        logits, targets = model.decoder.predict(hidden[words]).float(), batch.captions[:, :, 1:][words]
        top5 = (logits.topk(5).indices == targets.unsqueeze(-1)).any(dim=-1).float().mean()
        scores = {"valid_loss": functional.cross_entropy(logits, targets), "top5": 100 * top5}
        self.log_dict(scores, batch_size=len(targets), sync_dist=True)
        # In float32 whatever the precision of training, as captions are made later.
        with torch.autocast(self.device.type, enabled=False):
            backend = TorchBackend(model)
            found = beam_search(backend, backend.start(features.float()), GREEDY, once=self.vocabulary.once)
        captions = [self.vocabulary.decode(hypotheses[0].tokens) for hypotheses in found]
        self._generated.update(zip(batch.indices.tolist(), captions, strict=True))
        # Between words alone: <end> looks elsewhere.
        maps = [hypotheses[0].attention[: len(caption)] for hypotheses, caption in zip(found, captions, strict=True)]
        self.log("movement", fmean(map(attention_movement, maps)), batch_size=len(maps), sync_dist=True)

    def features(self, batch: Batch) -> torch.Tensor:
        """The batch's feature grids (N, L, D), computed now where they are not cached."""
        if self.settings.uses_cache:
            return batch.inputs
        encoder = (self.model if self.training else self.scored_model).encoder
        return (FakeQuantized(encoder) if self.settings.quantization_aware else encoder)(batch.inputs)

    def on_validation_epoch_end(self) -> None:
        generated = self._gather_generated()
        captions = [generated[index] for index in range(len(self.references))]
        varied = diversity(captions)
        self.dev_scores = score_dev(captions, self.references, self.places) | {
            "words": fmean(map(len, captions)),
            **{name: varied[name] for name in ("distinct", "distinct_words")},
        }
        self.log_dict({name: float(score) for name, score in self.dev_scores.items()}, sync_dist=True)
        self._generated.clear()

    def _gather_generated(self) -> dict[int, list[str]]:
        """The generated captions of all processes."""
        if self.trainer.world_size == 1:
            return self._generated
        parts: list[dict] = [{}] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, self._generated)
        return {index: caption for part in parts for index, caption in part.items()}

    def configure_optimizers(self):
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        if self.settings.schedule == "constant":
            return optimizer
        # Lightning's own estimate of the steps would fetch the loader before its state is restored.
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, epochs=self.settings.epochs, steps_per_epoch=self.steps_per_epoch
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def score_dev(
    captions: list[list[str]], references: list[list[list[str]]], places: dict[str, range]
) -> dict[str, float]:
    """BLEU-4 and CIDEr of generated captions, together and of each data set, and the `score` that epochs are chosen by.

    The score is the geometric mean of all data sets' BLEU-4 and CIDEr. One percent more counts the same wherever it is
    gained, so a data set on which captions score higher does not count more.

    Args:
        captions: one tokenized caption a photo.
        references: for each photo its tokenized reference captions.
        places: for each data set the places of its photos.
    """
    together = _bleu_and_cider(captions, references)
    if len(places) == 1:
        return {**together, "score": geometric_mean(together.values())}
    each = {
        f"{name}_{key}": score
        for key, place in places.items()
        for name, score in _bleu_and_cider(
            captions[place.start : place.stop], references[place.start : place.stop]
        ).items()
    }
    return {**together, **each, "score": geometric_mean(each.values())}


def _bleu_and_cider(captions: list[list[str]], references: list[list[list[str]]]) -> dict[str, float]:
    return {"bleu4": bleu(captions, references)[3], "cider": cider(captions, references)}


def _ema_of(model: CaptioningModel, decay: float) -> AveragedModel | None:
    """An exponential moving average of the model's weights, or none where the decay is 0."""
    if not decay:
        return None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    return average.requires_grad_(False)


def _compute_depthwise_in_float32(encoder: nn.Module) -> None:
    """Leave the trained depthwise convolutions out of autocast on a CPU, where it makes their gradients slow."""

    def in_float32(forward: Callable[[torch.Tensor], torch.Tensor], input: torch.Tensor) -> torch.Tensor:
        if input.device.type != "cpu":
            return forward(input)
        with torch.autocast("cpu", enabled=False):
            return forward(input.float())

    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.requires_grad:
            module.forward = partial(in_float32, module.forward)


def doubly_stochastic_penalty(attention: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over captions and cells of (1 − Σ_t α_t)²: each cell should be attended to (Xu et al., equation 14).

    Args:
        attention: weights (N, K, T, L).
        targets: ids (N, K, T), `<pad>` where a caption is over.
    """
    words = targets != PAD
    looked = (attention * words.unsqueeze(-1)).sum(dim=2)
    return (1 - looked)[words.any(dim=2)].square().mean()
